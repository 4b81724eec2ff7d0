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
			if _, err := l.reserve(t.Context(), "topic-"+strconv.Itoa(i), "user-"+strconv.Itoa(i), 300); err != nil {
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

// What was forgotten before its publish failed is not given back once more.
func TestWhatWasForgottenIsNotGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(prompt{}, InboundLimits{User: 1 << 20}, slog.New(slog.DiscardHandler))
		giveback, err := l.reserve(t.Context(), "topic", "alice", 300)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if _, err := l.reserve(t.Context(), "topic", "alice", 300); err != nil {
			t.Fatal(err)
		}
		giveback()
		if l.users["alice"] != 300 || l.topics["topic"].total != 300 {
			t.Errorf("%d bytes of alice's and %d in all are counted, want 300", l.users["alice"], l.topics["topic"].total)
		}
	})
}
