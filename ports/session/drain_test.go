package session_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

// However long a drain is, sessions are asked to go one after the other.
func TestDrainsOfAnyLengthAreSpread(t *testing.T) {
	for _, span := range []time.Duration{time.Hour, math.MaxInt64 / 2} {
		synctest.Test(t, func(t *testing.T) {
			desk, _ := newDesk(t, anyone{}, session.Config{Drain: span})
			var conns []*conn
			var sessions []*session.Session
			for range 5 {
				s, err := desk.Open(request("x"), func() (session.Terms, error) { return session.Terms{Encoder: session.V1Encoder{}}, nil })
				if err != nil {
					t.Fatal(err)
				}
				c := &conn{}
				s.Begin(c)
				conns, sessions = append(conns, c), append(sessions, s)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- desk.Drain(ctx) }()
			time.Sleep(span/5*2 + time.Minute)
			told := 0
			for _, c := range conns {
				told += int(c.goaway.Load())
			}
			if told != 3 {
				t.Errorf("%d of 5 sessions were asked to go in two fifths of %v", told, span)
			}
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			for _, s := range sessions {
				s.End(0)
			}
		})
	}
}
