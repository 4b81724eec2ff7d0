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

// Nodes receive everything once and in one order, whenever they started.
func TestMove(t *testing.T) {
	in(t, func(w *world) {
		early := w.node()
		w.publish(w.old) // 1
		w.publish(w.old) // 2
		w.bridge()
		w.publish(w.old) // 3
		before := w.node()
		fresh := w.plain(w.new)
		w.cutOver()
		w.publish(w.new) // 4
		w.publish(w.old) // 5: from a publisher that has not moved
		synctest.Wait()
		w.publish(w.new) // 6
		late := w.node()
		w.publish(w.new) // 7

		w.want(early, "1 2 3 movedHere 4 5 6 7")
		w.want(before, "1 2 3 movedHere 4 5 6 7")
		w.want(fresh, "1 2 3 movedHere 4 5 6 7")
		w.want(late, "1 2 3 movedHere 4 5 6 7")
		for _, r := range []*reader{early, before, late} {
			if r.bus.Deaf() {
				w.Error("a node is deaf")
			}
		}
	})
}

// A node publishes a topic, and the topics that belong to it, on the old bus until it
// has read the mark, and then on the new bus.
func TestNodesPublishOnTheBusThatIsCurrent(t *testing.T) {
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
		say(topic+domain.EventsSuffix, "event one")
		w.cutOver()
		say(topic, "two")
		say(topic+domain.InboundSuffix, "inbound two")
		say(topic+domain.EventsSuffix, "event two")
		say("other", "not followed here")
		w.want(n, "one movedHere two")
		w.want(w.plain(w.old), "one movedAway")
		for bus, number := range map[*memory.Bus]string{w.old: "one", w.new: "two"} {
			for suffix, want := range map[string]string{domain.InboundSuffix: "inbound ", domain.EventsSuffix: "event "} {
				r := &reader{}
				r.read(w, w.open(bus).BatchesSince(time.Minute), topic+suffix)
				w.want(r, want+number)
			}
		}
	})
}

// A message that a node publishes on the old bus after the mark has no place in
// the order until it is copied. Until then the publish is not confirmed, so that
// the publisher's next message, through another node, does not overtake it.
func TestPublishAfterTheMarkIsConfirmedOnceCopied(t *testing.T) {
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
			w.Fatalf("confirmed before it has a place in the order: %v", err)
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
		w.want(n, "1 movedHere behind later")
	})
}

func TestPublishThatIsNotReadBackHasUnknownOutcome(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		w.send(w.old, provenance.NewMovedAway("mark"))
		synctest.Wait()
		start := time.Now()
		err := n.bus.PublishContext(w.Context(), topic, message.NewMessage("", []byte("behind")))
		if !errors.Is(err, domain.ErrBusDown) || time.Since(start) != 2*time.Second {
			w.Errorf("after %v: %v", time.Since(start), err)
		}
		wantPublishError(w, err, false, `move: publish to "`+topic+
			`": what was published does not come back: bus is down (outcome unknown)`)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		err = n.bus.PublishContext(ctx, topic, message.NewMessage("", []byte("behind, too")))
		wantPublishError(w, err, false, `move: publish to "`+topic+
			`": context deadline exceeded (outcome unknown)`)
	})
}

// wantPublishError checks that a failed publish says once what is known of its
// messages.
func wantPublishError(w *world, err error, refused bool, text string) {
	w.Helper()
	var failed *domain.PublishError
	if !errors.As(err, &failed) || failed.Refused != refused || err.Error() != text {
		w.Errorf("got %v\nwant %s; refused: %v", err, text, refused)
	}
}

// A message on the new bus that is no copy does not show that the new bus has
// taken over.
func TestForeignEntryDoesNotShowAMove(t *testing.T) {
	in(t, func(w *world) {
		w.publish(w.old)
		w.publish(w.new)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		if err := migrate.CutOver(ctx, w.open(w.old), w.open(w.new), topic); !errors.Is(err, migrate.ErrNotACopy) {
			w.Errorf("CutOver: %v", err)
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

// A Bridge that is stopped at any point and started again leaves nothing out,
// and readers receive nothing twice.
func TestBridgeContinuesAfterARestart(t *testing.T) {
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

// The same holds after the move, and even when the new bus has trimmed the
// Bridge's last copies.
func TestBridgeContinuesLongAfterTheMove(t *testing.T) {
	in(t, func(w *world) {
		stop := w.bridge()
		w.publish(w.old) // 1
		w.cutOver()
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

func TestTwoBridgesDoNoHarm(t *testing.T) {
	in(t, func(w *world) {
		fresh := w.plain(w.new)
		w.bridge()
		w.bridge()
		for range 20 {
			w.publish(w.old)
		}
		synctest.Wait()
		w.cutOver()
		w.publish(w.old)
		w.want(fresh, numbers(1, 20)+" movedHere 21")
		w.want(w.node(), numbers(1, 20)+" movedHere 21")
	})
}

// Nodes that read the old bus would not receive what a publisher puts on the new
// bus too early. So the Bridge ends with an error, and nothing moves.
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

// If the topic moves in spite of such messages, clients are told a gap.
func TestMessagesPublishedTooEarlyBecomeAGap(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		w.publish(w.old)
		w.bridge()
		w.publish(w.new) // 2: too early
		w.send(w.old, provenance.NewMovedAway("mark"))
		synctest.Wait()
		w.publish(w.new) // 3
		w.want(n, "1 movedHere gap gap 3")
	})
}

// Without a Bridge nothing is moved. A mark without a Bridge makes nodes deaf,
// and they continue once a Bridge runs.
func TestNoMoveWithoutABridge(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		w.publish(w.old)
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		if err := migrate.CutOver(ctx, w.open(w.old), w.open(w.new), topic); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("CutOver without a bridge: %v", err)
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
		w.want(n, "1 movedHere 2")
		if n.bus.Deaf() {
			w.Error("a node is deaf though it has arrived")
		}
	})
}

// A node that has just started does not know yet which bus is current. If it
// published on the old bus, after the mark, the publisher's next message could
// overtake that.
func TestPublishingWaitsUntilTheCurrentBusIsKnown(t *testing.T) {
	in(t, func(w *world) {
		w.publish(w.old)
		w.bridge()
		w.cutOver()
		b, err := migrate.NewDualBus(w.open(w.old), w.open(w.new), migrate.Config{Topics: []string{topic}})
		if err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() { b.Close() })
		publish := func() error { return b.PublishContext(w.Context(), topic, message.NewMessage("id-2", []byte("2"))) }
		if err := publish(); !errors.Is(err, domain.ErrBusDown) {
			w.Errorf("nobody reads the topic: %v", err)
		} else {
			wantPublishError(w, err, true, `move: publish to "`+topic+
				`": whether the new bus has taken over is not known yet: bus is down (none of it is on the bus)`)
		}
		published := make(chan error, 1)
		go func() { published <- publish() }()
		synctest.Wait()
		(&reader{}).read(w, b.BatchesSince(10*time.Minute), topic)
		if err := <-published; err != nil {
			w.Error(err)
		}
		w.want(w.plain(w.old), "1 movedAway")
		w.want(w.plain(w.new), "1 movedHere 2")
	})
}

func TestMovedTwice(t *testing.T) {
	in(t, func(w *world) {
		first := w.old
		w.publish(w.old)
		stop := w.bridge()
		w.cutOver()
		w.publish(w.new) // 2
		w.publish(w.old) // 3: late
		synctest.Wait()
		if err := stop(); err != nil {
			w.Fatal(err)
		}
		w.old, w.new = w.new, memory.New(memory.Config{})
		w.Cleanup(func() { first.Close() })
		n := w.node()
		w.want(n, "1 movedHere 2 3")
		w.bridge()
		w.publish(w.old) // 4
		w.cutOver()
		w.publish(w.new) // 5
		w.want(n, "1 movedHere 2 3 4 movedHere 5")
		w.want(w.plain(w.new), "1 movedHere 2 3 4 movedHere 5")

		// A location in the first log is found in the third.
		third := w.open(w.new)
		tail, err := w.open(first).Tail(w.Context(), topic)
		if err != nil {
			w.Fatal(err)
		}
		found, _, err := third.Locate(w.Context(), topic, []domain.Location{{Log: tail.Log, Position: "\x00\x00\x00\x00\x00\x00\x00\x01"}}, time.Time{}, 1000)
		if err != nil || found[0].Position == "" {
			w.Errorf("a location two moves back is at %v, %v", found, err)
		}
	})
}

// An entry that the new bus cannot carry becomes a gap, and copying continues.
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

// Entries that the old bus trims before they are copied become a gap.
func TestEntriesTrimmedBeforeTheyAreCopiedBecomeAGap(t *testing.T) {
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
	log := transport.New(bus.Driver(), transport.Config{})
	none := transport.New(noLog{bus.Driver()}, transport.Config{})
	defer log.Close()
	defer none.Close()
	if _, err := migrate.NewDualBus(log, none, migrate.Config{}); !errors.Is(err, domain.ErrUnsupported) {
		t.Errorf("NewDualBus to a bus without a log: %v", err)
	}
	if _, err := migrate.NewBridge(none, log, migrate.BridgeConfig{}); !errors.Is(err, domain.ErrUnsupported) {
		t.Errorf("NewBridge from a bus without a log: %v", err)
	}
}

type noLog struct{ transport.Driver }

func (noLog) Guarantees() transport.Guarantees { return transport.Guarantees{TotalOrder: true} }
