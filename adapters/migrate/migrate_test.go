package migrate_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// Nodes hear everything once and in one order, whenever they began.
func TestMove(t *testing.T) {
	in(t, func(w *world) {
		early := w.node()
		w.publish(w.old) // 1
		w.publish(w.old) // 2
		w.bridge()
		w.publish(w.old) // 3
		before := w.node()
		fresh := w.plain(w.new)
		w.leave()
		w.publish(w.new) // 4
		w.publish(w.old) // 5: from one that has not moved
		synctest.Wait()
		w.publish(w.new) // 6
		late := w.node()
		w.publish(w.new) // 7

		w.want(early, "1 2 3 arrive 4 5 6 7")
		w.want(before, "1 2 3 arrive 4 5 6 7")
		w.want(fresh, "1 2 3 arrive 4 5 6 7")
		w.want(late, "1 2 3 arrive 4 5 6 7")
		for _, r := range []*reader{early, before, late} {
			if r.bus.Deaf() {
				w.Error("a node is deaf")
			}
		}
	})
}

// A node publishes where its topic is: on the old bus until it has passed the
// mark, with what belongs to the topic.
func TestNodesPublishWhereTheTopicIs(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		w.bridge()
		say := func(topic, text string) {
			if err := n.bus.PublishContext(w.Context(), topic, message.NewMessage(text, []byte(text))); err != nil {
				w.Fatal(err)
			}
			synctest.Wait()
		}
		say(topic, "one")
		say(topic+domain.InboundSuffix, "inbound one")
		w.leave()
		say(topic, "two")
		say(topic+domain.InboundSuffix, "inbound two")
		say("other", "not followed here")
		w.want(n, "one arrive two")
		w.want(w.plain(w.old), "one leave")
		for bus, want := range map[*memory.Bus]string{w.old: "inbound one", w.new: "inbound two"} {
			r := &reader{}
			r.read(w, w.open(bus).BatchesSince(time.Minute), topic+domain.InboundSuffix)
			w.want(r, want)
		}
	})
}

// What a node publishes on the old bus behind the mark has no place in the order
// until it is copied: until then its publisher is not told that it was published, so
// that what he publishes next, elsewhere, does not overtake it.
func TestWhatIsPublishedBehindTheMarkIsNotConfirmedBeforeItIsCopied(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		stop := w.bridge()
		w.publish(w.old)
		synctest.Wait()
		if err := stop(); err != nil {
			w.Fatal(err)
		}
		w.send(w.old, provenance.NewMovedAway("mark"))
		synctest.Wait()
		published := make(chan error, 1)
		publish := func(text string) {
			published <- n.bus.PublishContext(w.Context(), topic, message.NewMessage("", []byte(text)))
		}
		go publish("behind")
		synctest.Wait()
		select {
		case err := <-published:
			w.Fatalf("confirmed without a place: %v", err)
		default:
		}
		w.bridge()
		if err := <-published; err != nil {
			w.Error(err)
		}
		go publish("later")
		if err := <-published; err != nil {
			w.Error(err)
		}
		synctest.Wait()
		w.want(n, "1 arrive behind later")
	})
}

func TestWhatDoesNotComeBackMayBePublishedOrNot(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		w.send(w.old, provenance.NewMovedAway("mark"))
		synctest.Wait()
		start := time.Now()
		err := n.bus.PublishContext(w.Context(), topic, message.NewMessage("", []byte("behind")))
		if !errors.Is(err, domain.ErrBusDown) || time.Since(start) != 2*time.Second {
			w.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// A message on the new bus that is no copy does not mean that it has taken over.
func TestForeignEntryIsNoMove(t *testing.T) {
	in(t, func(w *world) {
		w.publish(w.old)
		w.publish(w.new)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		if err := migrate.CutOver(ctx, w.open(w.old), w.open(w.new), topic); !errors.Is(err, migrate.ErrNotACopy) {
			w.Errorf("Leave: %v", err)
		}
		b, err := migrate.NewDualBus(w.open(w.old), w.open(w.new), migrate.Config{})
		if err != nil {
			w.Fatal(err)
		}
		defer b.Close()
		if _, err := b.BatchesSince(time.Minute).Subscribe(w.Context(), topic); !errors.Is(err, migrate.ErrNotACopy) {
			w.Errorf("Subscribe: %v", err)
		}
		w.want(w.plain(w.old), "1")
	})
}

// A Bridge that is stopped anywhere and started again leaves nothing out and
// copies nothing twice that anybody sees.
func TestBridgeGoesOnWhereItWas(t *testing.T) {
	in(t, func(w *world) {
		fresh := w.plain(w.new)
		for range 5 {
			stop := w.bridge()
			w.publish(w.old)
			w.publish(w.old)
			if err := stop(); err != nil {
				w.Fatal(err)
			}
			w.publish(w.old)
		}
		w.bridge()
		w.want(fresh, numbers(1, 15))
	})
}

// After the move, too; and long after, when its copies are gone from the new
// bus.
func TestBridgeGoesOnLongAfterTheMove(t *testing.T) {
	in(t, func(w *world) {
		stop := w.bridge()
		w.publish(w.old) // 1
		w.leave()
		for range 3 {
			time.Sleep(50 * time.Minute) // a memory bus keeps an hour
			if err := stop(); err != nil {
				w.Fatal(err)
			}
			late := w.node()
			w.publish(w.old)
			stop = w.bridge()
			w.publish(w.new)
			w.want(late, numbers(w.number-1, w.number))
		}
	})
}

// A second Bridge does no harm.
func TestTwoBridges(t *testing.T) {
	in(t, func(w *world) {
		fresh := w.plain(w.new)
		w.bridge()
		w.bridge()
		for range 20 {
			w.publish(w.old)
		}
		synctest.Wait()
		w.leave()
		w.publish(w.old)
		w.want(fresh, numbers(1, 20)+" arrive 21")
		w.want(w.node(), numbers(1, 20)+" arrive 21")
	})
}

// Whoever publishes on the new bus before its turn would not be heard by those
// on the old one: the Bridge says so and stops, and there is no move.
func TestBridgeRefusesForeignEntries(t *testing.T) {
	for name, early := range map[string]bool{"before it begins": true, "while it copies": false} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.publish(w.old)
				if early {
					w.publish(w.new)
				}
				stop := w.bridge()
				if !early {
					w.publish(w.new)
					time.Sleep(time.Minute)
					synctest.Wait()
				}
				if err := stop(); !errors.Is(err, migrate.ErrNotACopy) {
					w.Errorf("the bridge ended with %v, want %v", err, migrate.ErrNotACopy)
				}
			})
		})
	}
}

// If it comes to a move all the same, clients are told a gap.
func TestWhatCameTooEarlyIsAGap(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		w.publish(w.old)
		w.bridge()
		w.publish(w.new) // 2: too early
		w.send(w.old, provenance.NewMovedAway("mark"))
		synctest.Wait()
		w.publish(w.new) // 3
		w.want(n, "1 arrive gap gap 3")
	})
}

// Without a Bridge nothing is moved; a mark without one makes nodes deaf, and
// they go on when there is one.
func TestNoMoveWithoutABridge(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		w.publish(w.old)
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		if err := migrate.CutOver(ctx, w.open(w.old), w.open(w.new), topic); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("Leave without a bridge: %v", err)
		}
		w.want(n, "1")

		w.send(w.old, provenance.NewMovedAway("mark"))
		time.Sleep(4 * time.Second)
		if n.bus.Deaf() {
			w.Error("a node is deaf at once")
		}
		time.Sleep(2 * time.Second)
		if !n.bus.Deaf() {
			w.Error("a node waits for six seconds, and is not deaf")
		}
		w.bridge()
		w.publish(w.new)
		w.want(n, "1 arrive 2")
		if n.bus.Deaf() {
			w.Error("a node is deaf though it has arrived")
		}
	})
}

// A node that has just started does not know yet which bus counts: what it took
// for the old one, behind the mark, could be overtaken by what is published next.
func TestPublishingWaitsUntilItIsKnownWhichBusCounts(t *testing.T) {
	in(t, func(w *world) {
		w.publish(w.old)
		w.bridge()
		w.leave()
		b, err := migrate.NewDualBus(w.open(w.old), w.open(w.new), migrate.Config{Topics: []string{topic}})
		if err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() { b.Close() })
		publish := func() error { return b.PublishContext(w.Context(), topic, message.NewMessage("id-2", []byte("2"))) }
		if err := publish(); !errors.Is(err, domain.ErrBusDown) {
			w.Errorf("nobody reads the topic: %v", err)
		}
		published := make(chan error, 1)
		go func() { published <- publish() }()
		synctest.Wait()
		(&reader{}).read(w, b.BatchesSince(10*time.Minute), topic)
		if err := <-published; err != nil {
			w.Error(err)
		}
		w.want(w.plain(w.old), "1 leave")
		w.want(w.plain(w.new), "1 arrive 2")
	})
}

func TestMovedTwice(t *testing.T) {
	in(t, func(w *world) {
		first := w.old
		w.publish(w.old)
		stop := w.bridge()
		w.leave()
		w.publish(w.new) // 2
		w.publish(w.old) // 3: late
		synctest.Wait()
		if err := stop(); err != nil {
			w.Fatal(err)
		}
		w.old, w.new = w.new, memory.New(memory.Config{})
		w.Cleanup(func() { first.Close() })
		n := w.node()
		w.want(n, "1 arrive 2 3")
		w.bridge()
		w.publish(w.old) // 4
		w.leave()
		w.publish(w.new) // 5
		w.want(n, "1 arrive 2 3 4 arrive 5")
		w.want(w.plain(w.new), "1 arrive 2 3 4 arrive 5")

		// A place of the first log is found in the third.
		third := w.open(w.new)
		tail, err := w.open(first).Tail(w.Context(), topic)
		if err != nil {
			w.Fatal(err)
		}
		found, _, err := third.Locate(w.Context(), topic, []domain.Location{{Log: tail.Log, Position: "\x00\x00\x00\x00\x00\x00\x00\x01"}}, time.Time{}, 1000)
		if err != nil || found[0].Position == "" {
			w.Errorf("a place two moves back is at %v, %v", found, err)
		}
	})
}

// What the new bus does not take becomes a gap, and the rest goes on.
func TestUnfitEntriesBecomeGaps(t *testing.T) {
	in(t, func(w *world) {
		w.new = memory.New(memory.Config{Bytes: 2000})
		fresh := w.plain(w.new)
		w.publish(w.old)
		w.send(w.old, message.NewMessage("large", make([]byte, 3000)))
		w.publish(w.old)
		w.bridge()
		w.want(fresh, "1 gap 2")
	})
}

// What the old bus has trimmed before it was copied is a gap.
func TestWhatWasNotCopiedInTimeIsAGap(t *testing.T) {
	in(t, func(w *world) {
		w.old = memory.New(memory.Config{Messages: 4})
		fresh := w.plain(w.new)
		w.publish(w.old)
		if err := w.bridge()(); err != nil {
			w.Fatal(err)
		}
		for range 10 {
			w.publish(w.old)
		}
		w.bridge()
		w.want(fresh, "1 gap 8 9 10 11")
		time.Sleep(time.Second)
		w.publish(w.old)
		w.want(fresh, "1 gap 8 9 10 11 12")
	})
}

func TestMoveNeedsLogs(t *testing.T) {
	bus := memory.New(memory.Config{})
	defer bus.Close()
	log, none := transport.New(bus.Driver(), transport.Config{}), transport.New(noLog{bus.Driver()}, transport.Config{})
	defer log.Close()
	defer none.Close()
	if _, err := migrate.NewDualBus(log, none, migrate.Config{}); !errors.Is(err, domain.ErrUnsupported) {
		t.Errorf("NewBus to a bus without a log: %v", err)
	}
	if _, err := migrate.NewBridge(none, log, migrate.BridgeConfig{}); !errors.Is(err, domain.ErrUnsupported) {
		t.Errorf("NewBridge from a bus without a log: %v", err)
	}
}

type noLog struct{ transport.Driver }

func (noLog) Guarantees() transport.Guarantees { return transport.Guarantees{TotalOrder: true} }
