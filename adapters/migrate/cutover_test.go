package migrate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
)

// tryCutOver calls CutOver with a deadline of 10 s.
func (w *world) tryCutOver(from, to *memory.Bus) error {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	return migrate.CutOver(ctx, w.open(from), w.open(to), topic)
}

// bridgeBetween runs a Bridge of the named topic from one bus to another.
func (w *world) bridgeBetween(from, to *memory.Bus, name string) {
	w.Helper()
	b, err := migrate.NewBridge(w.open(from), w.open(to), migrate.BridgeConfig{})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, name) }()
	w.Cleanup(func() {
		cancel()
		// A bridge in the wrong direction finds what is published meanwhile.
		if err := <-ended; err != nil && !errors.Is(err, migrate.ErrNotACopy) {
			w.Errorf("a bridge ended: %v", err)
		}
	})
	synctest.Wait()
}

// The mark is put only if a Bridge has just shown that it runs. Existing copies,
// an empty topic and a Bridge of something else show nothing.
func TestNoMarkUnlessABridgeCopiesThisTopicNow(t *testing.T) {
	for name, prepare := range map[string]func(w *world){
		"nothing was published and no bridge runs": func(*world) {},
		"nothing was published and a bridge died": func(w *world) {
			_ = w.bridge()()
		},
		"a bridge had caught up and then died": func(w *world) {
			stop := w.bridge()
			w.publish(w.old)
			synctest.Wait()
			_ = stop()
		},
		"a bridge died before the last message": func(w *world) {
			stop := w.bridge()
			w.publish(w.old)
			synctest.Wait()
			_ = stop()
			w.publish(w.old)
		},
		"a bridge copies another topic": func(w *world) { w.bridgeBetween(w.old, w.new, "other") },
		"a bridge copies the other way": func(w *world) { w.bridgeBetween(w.new, w.old, topic) },
		"a bridge copies to another bus": func(w *world) {
			third := memory.New(memory.Config{})
			w.Cleanup(func() { third.Close() })
			w.bridgeBetween(w.old, third, topic)
		},
		"a bridge copies to the new bus by way of another": func(w *world) {
			third := memory.New(memory.Config{})
			w.Cleanup(func() { third.Close() })
			w.bridgeBetween(w.old, third, topic)
			w.bridgeBetween(third, w.new, topic)
		},
		"everything that was published is trimmed": func(w *world) {
			w.publish(w.old)
			time.Sleep(2 * time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				prepare(w)
				n := w.node()
				received := n.received()
				err := w.tryCutOver(w.old, w.new)
				if !errors.Is(err, migrate.ErrNoBridge) || !errors.Is(err, context.DeadlineExceeded) {
					w.Errorf("CutOver: %v, want %v", err, migrate.ErrNoBridge)
				}
				if strings.Contains(err.Error(), "the mark is") {
					w.Errorf("the error claims that there is a mark: %v", err)
				}
				w.want(n, received)
				if strings.Contains(w.plain(w.old).received(), "movedAway") {
					w.Error("the mark is on the old bus")
				}
				time.Sleep(10 * time.Second)
				if n.bus.Deaf() {
					w.Error("a node is deaf, though there is no mark to wait for")
				}
				w.publish(w.old)
				w.want(n, strings.TrimSpace(received+" "+numbers(w.number, w.number)))
			})
		})
	}
}

// If an earlier call has put the mark, and its copy has not come, the error of
// the next call says so. That this call did nothing does not mean that there is
// no mark.
func TestErrorMentionsTheMarkOfAnEarlierTry(t *testing.T) {
	for _, messages := range []int{0, 3} {
		in(t, func(w *world) {
			stop := w.bridge()
			for range messages {
				w.publish(w.old)
			}
			synctest.Wait()
			_ = stop()
			w.send(w.old, provenance.NewMovedAway("mark"))
			w.publish(w.old)
			err := w.tryCutOver(w.old, w.new)
			if !errors.Is(err, migrate.ErrNoBridge) || !strings.Contains(err.Error(), "the mark is on the old bus") {
				w.Errorf("with %d messages before the mark: %v", messages, err)
			}
			w.bridge()
			if err := w.tryCutOver(w.old, w.new); !errors.Is(err, migrate.ErrMoved) {
				w.Errorf("with a bridge: %v", err)
			}
		})
	}
}

// An empty topic moves like any other while a Bridge runs. Readers do not notice
// the entries that the move adds, apart from the two marks.
func TestTopicWithoutAMessageMoves(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		w.bridge()
		w.cutOver()
		w.publish(w.new)
		w.want(n, "movedHere 1")
		w.want(w.plain(w.old), "movedAway")
		w.want(w.plain(w.new), "movedHere 1")
		if err := w.tryCutOver(w.old, w.new); !errors.Is(err, migrate.ErrMoved) {
			w.Errorf("again: %v, want %v", err, migrate.ErrMoved)
		}
	})
}

// A Bridge may start and catch up until the deadline of CutOver.
func TestCutOverWaitsForABridge(t *testing.T) {
	in(t, func(w *world) {
		for range 50 {
			w.publish(w.old)
		}
		moved := make(chan error, 1)
		go func() { moved <- w.tryCutOver(w.old, w.new) }()
		time.Sleep(5 * time.Second)
		w.bridge()
		if err := <-moved; err != nil {
			w.Error(err)
		}
	})
}

// An old bus that keeps very little may trim the probe before a Bridge copies
// it. Then a copy of an entry after the probe is proof enough.
func TestProbeThatWasTrimmedNeedNotBeCopied(t *testing.T) {
	in(t, func(w *world) {
		w.old = memory.New(memory.Config{Messages: 3})
		moved := make(chan error, 1)
		go func() { moved <- w.tryCutOver(w.old, w.new) }()
		time.Sleep(time.Second)
		for range 5 {
			w.publish(w.old)
		}
		w.bridge()
		if err := <-moved; err != nil {
			w.Error(err)
		}
	})
}

// An operator may confuse the two buses, so that the probe is put on the new
// bus. That does not disturb a Bridge in the right direction, nor the topic on
// the new bus.
func TestProbeOnTheNewBusIsNotForeign(t *testing.T) {
	in(t, func(w *world) {
		stop := w.bridge()
		if err := w.tryCutOver(w.new, w.old); !errors.Is(err, migrate.ErrNoBridge) {
			w.Errorf("CutOver the other way: %v", err)
		}
		time.Sleep(time.Minute)
		_ = stop()
		w.bridge()
		w.publish(w.old)
		w.cutOver()
		w.publish(w.new)
		w.want(w.plain(w.new), "1 movedHere 2")
	})
}

// Readers do not notice the probes that Prove leaves on the buses.
func TestReadersSkipTheProbesOfProve(t *testing.T) {
	in(t, func(w *world) {
		n, fresh := w.node(), w.plain(w.new)
		w.bridge()
		w.publish(w.old)
		for range 3 {
			if err := migrate.Prove(w.Context(), w.open(w.old), w.open(w.new), topic); err != nil {
				w.Error(err)
			}
		}
		w.publish(w.old)
		w.want(n, "1 2")
		w.want(fresh, "1 2")
		w.want(w.plain(w.old), "1 2")
	})
}

// While a bus is down CutOver waits. If the bus is not back by the deadline, no
// mark was put.
func TestCutOverWaitsForABusThatIsDown(t *testing.T) {
	for name, which := range map[string]func(*world) **memory.Bus{
		"the old one": func(w *world) **memory.Bus { return &w.old },
		"the new one": func(w *world) **memory.Bus { return &w.new },
	} {
		for _, comesBack := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				in(t, func(w *world) {
					w.publish(w.old)
					w.bridge()
					down := &outage{Driver: (*which(w)).Driver(), LogDriver: (*which(w)).Driver().(transport.LogDriver)}
					gone := transport.New(down, transport.Config{})
					defer gone.Close()
					from, to := w.open(w.old), w.open(w.new)
					if which(w) == &w.old {
						from = gone
					} else {
						to = gone
					}
					down.set(true)
					ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
					defer cancel()
					moved := make(chan error, 1)
					go func() { moved <- migrate.CutOver(ctx, from, to, topic) }()
					time.Sleep(5 * time.Second)
					down.set(!comesBack)
					err := <-moved
					if comesBack && err != nil || !comesBack && !errors.Is(err, migrate.ErrNoBridge) {
						w.Errorf("comes back: %v; CutOver: %v", comesBack, err)
					}
					if marked := strings.Contains(w.plain(w.old).received(), "movedAway"); marked != comesBack {
						w.Errorf("comes back: %v; the mark is there: %v", comesBack, marked)
					}
				})
			})
		}
	}
}

// A probe and its copy are of the kind Control, which readers skip.
func TestProbeIsNoMessage(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		w.send(w.old, provenance.NewProbe("probe"))
		w.bridge()
		w.send(w.old, message.NewMessage("id", []byte("text")))
		w.want(n, "text")
		w.want(w.plain(w.new), "text")
	})
}
