package transport

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// prompt is a bus that has consumed whatever is sent.
type prompt struct{}

func (prompt) Unconsumed(context.Context, string) (time.Duration, error) { return 0, nil }

// Systems and users that never come again leave nothing behind in the node.
func TestLedgerForgetsNamesThatNeverComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(prompt{}, InboundLimits{User: 1 << 20, System: 1 << 20}, slog.New(slog.DiscardHandler))
		for i := range 1000 {
			if _, err := l.take(t.Context(), "topic-"+strconv.Itoa(i), "user-"+strconv.Itoa(i), 300); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if len(l.topics) > 50 || len(l.users) > 50 {
			t.Errorf("of 1000 topics and users %d and %d are remembered", len(l.topics), len(l.users))
		}
		sum := int64(0)
		for _, a := range l.topics {
			sum += a.total
		}
		for _, bytes := range l.users {
			sum -= bytes
		}
		if sum != 0 {
			t.Errorf("topics and users differ by %d bytes", sum)
		}
	})
}
