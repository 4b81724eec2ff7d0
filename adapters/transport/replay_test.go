package transport_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

func TestSubscriptionsBeginInThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(5)
		bus := transport.New(l, transport.Config{})
		defer mustClose(t, bus)
		for _, tc := range []struct {
			age   time.Duration
			begin int
		}{{time.Since(second(3)), 2}, {time.Since(epoch) + time.Hour, 0}, {time.Nanosecond, 5}, {0, 5}, {-time.Hour, 5}} {
			in := subscribe(t, bus.BatchesSince(tc.age))
			m := <-in
			start, _ := domain.EntriesFrom(m.Context())
			want := []domain.Entry{{Kind: domain.Start, Position: position(tc.begin), Tail: position(5), Log: 1}}
			if diff := cmp.Diff(want, start); diff != "" {
				t.Errorf("%v back: %s", tc.age, diff)
			}
			m.Ack()
			if tc.begin < 5 {
				got := take(t, in, 5-tc.begin)
				if diff := cmp.Diff(summary(records(tc.begin+1, 5)), got); diff != "" {
					t.Errorf("%v back: %s", tc.age, diff)
				}
			}
		}
		l.set(func() { l.since = errNet })
		if _, err := bus.BatchesSince(time.Hour).Subscribe(t.Context(), topic); !errors.Is(err, domain.ErrBusDown) {
			t.Errorf("error %v", err)
		}
	})
}

func TestReplay(t *testing.T) {
	lost := &domain.GapError{Reason: domain.Trimmed}
	for _, tc := range []struct {
		name     string
		after    int
		from     time.Time
		prepare  func(l *fakeLog)
		want     string // batches
		sessions int    // calls of Follow
		err      error
	}{
		{name: "from the place on", after: 3, want: "4 5 6|7 8 9", sessions: 1},
		{name: "with what came before", after: 4, from: second(2), want: "2 3 4|5 6 7|8 9"},
		{name: "split where the place is", after: 3, from: second(2), want: "2 3|4|5 6 7|8 9"},
		{name: "right behind what came before", after: 4, from: second(5), want: "5 6 7|8 9"},
		{name: "from behind the place", after: 3, from: second(7), want: "4 5 6|7 8 9", sessions: 1},
		{name: "before the log", after: 1, from: second(-9), want: "1|2 3|4 5 6|7 8 9"},
		{name: "the past cannot be had", after: 7, from: second(2), err: domain.ErrBusDown,
			prepare: func(l *fakeLog) { l.since = errNet }},
		{name: "the past does not answer", after: 7, from: second(2), err: domain.ErrBusDown,
			prepare: func(l *fakeLog) { l.silent = true }},
		{name: "the past is broken", after: 7, from: second(2), want: "8 9", sessions: 1,
			prepare: func(l *fakeLog) { l.since = lost }},
		{name: "the place's own entry is gone", after: 4, from: second(2), want: "2 3|5 6 7|8 9", sessions: 1,
			prepare: func(l *fakeLog) { l.entries = append(l.entries[:3:3], l.entries[4:]...) }},
		{name: "broken", after: 7, sessions: 1, prepare: func(l *fakeLog) { l.lost = lost }, err: lost},
		{name: "broken, with a past", after: 7, from: second(2), sessions: 1, prepare: func(l *fakeLog) { l.lost = lost }, err: lost},
		{name: "bus down", after: 7, sessions: 1, prepare: func(l *fakeLog) { l.lost = errNet }, err: domain.ErrBusDown},
		{name: "the log ends before the place", after: 9, from: second(2), want: "2 3 4|5 6 7", sessions: 1,
			prepare: func(l *fakeLog) { l.entries, l.refuse = l.entries[:7], lost }, err: lost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(9)
				if tc.prepare != nil {
					tc.prepare(l)
				}
				bus := transport.New(l, transport.Config{})
				defer mustClose(t, bus)
				var got []string
				err := bus.Replay(t.Context(), topic, domain.Location{Position: position(tc.after)}, tc.from, func(batch []domain.Entry) bool {
					got = append(got, strings.Join(summary(batch), " "))
					return batch[len(batch)-1].Position != position(9)
				})
				if !errors.Is(err, tc.err) {
					t.Errorf("error %v, want %v", err, tc.err)
				}
				if said := strings.Join(got, "|"); said != tc.want {
					t.Errorf("got %s, want %s", said, tc.want)
				}
				if n := len(l.asked()); n != tc.sessions {
					t.Errorf("%d feeds from the place, want %d", n, tc.sessions)
				}
			})
		})
	}
}

// The topic may have become another log since somebody got the position, with
// the same positions and nothing of what was there.
func TestReplayOfAnotherLogIsRefused(t *testing.T) {
	for _, from := range []time.Time{{}, second(1)} {
		l := newLog(9)
		bus := transport.New(l, transport.Config{})
		defer mustClose(t, bus)
		err := bus.Replay(t.Context(), topic, domain.Location{Log: 2, Position: position(3)}, from, func(batch []domain.Entry) bool {
			t.Errorf("got %v", summary(batch))
			return true
		})
		if lost := (*domain.GapError)(nil); !errors.As(err, &lost) || lost.Reason != domain.UnknownCursor {
			t.Errorf("error %v", err)
		}
	}
}

func TestReplayWaitsAtTheTailAndEndsWithItsContextOrTheTransport(t *testing.T) {
	for _, from := range []time.Time{{}, second(1)} {
		synctest.Test(t, func(t *testing.T) {
			l := newLog(2)
			bus := transport.New(l, transport.Config{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			n := 0
			replay := func(ctx context.Context) <-chan error {
				ended := make(chan error, 1)
				go func() {
					ended <- bus.Replay(ctx, topic, domain.Location{Position: position(2)}, from, func(batch []domain.Entry) bool {
						n += len(batch)
						return true
					})
				}()
				return ended
			}
			ended := replay(ctx)
			time.Sleep(time.Minute)
			l.add(2)
			if err := <-ended; !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, domain.ErrBusDown) {
				t.Errorf("error %v", err)
			}
			want := 2
			if !from.IsZero() {
				want = 4
			}
			if n != want {
				t.Errorf("%d entries, want %d", n, want)
			}
			ended = replay(t.Context())
			synctest.Wait()
			mustClose(t, bus)
			if err := <-ended; !errors.Is(err, domain.ErrClosed) {
				t.Errorf("closed: %v", err)
			}
			if err := <-replay(t.Context()); !errors.Is(err, domain.ErrClosed) {
				t.Errorf("closed before: %v", err)
			}
		})
	}
}

// A gap in the middle ends a replay, with what came before it.
func TestReplayEndsAtAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(4)
		bus := transport.New(l, transport.Config{})
		defer mustClose(t, bus)
		var got []string
		err := bus.Replay(t.Context(), topic, domain.Location{Position: position(1)}, second(1), func(batch []domain.Entry) bool {
			got = append(got, summary(batch)...)
			if len(got) == 4 {
				l.set(func() { l.lost = &domain.GapError{Reason: domain.UnknownCursor} })
			}
			return true
		})
		var lost *domain.GapError
		if !errors.As(err, &lost) || lost.Reason != domain.UnknownCursor || len(got) != 4 {
			t.Errorf("after %v: %v", got, err)
		}
	})
}

func TestReplayYieldMayEndItInThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := transport.New(newLog(9), transport.Config{})
		defer mustClose(t, bus)
		calls := 0
		err := bus.Replay(t.Context(), topic, domain.Location{Position: position(8)}, second(1), func([]domain.Entry) bool {
			calls++
			return false
		})
		if err != nil || calls != 1 {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}

func TestReplayRefuses(t *testing.T) {
	never := func([]domain.Entry) bool { t.Error("something to replay"); return false }
	noLog := transport.New(&fakeDriver{}, transport.Config{})
	defer mustClose(t, noLog)
	if err := noLog.Replay(t.Context(), topic, domain.Location{Position: position(1)}, time.Time{}, never); !errors.Is(err, domain.ErrUnsupported) {
		t.Errorf("without a log: %v", err)
	}
	bus := transport.New(newLog(2), transport.Config{})
	defer mustClose(t, bus)
	if err := bus.Replay(t.Context(), topic, domain.Location{}, time.Time{}, never); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("without a place: %v", err)
	}
	if err := bus.Replay(t.Context(), "", domain.Location{Position: position(1)}, time.Time{}, never); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("without a topic: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := bus.Replay(ended, topic, domain.Location{Position: position(1)}, time.Time{}, never); !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}
