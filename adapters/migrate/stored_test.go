package migrate_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// What a node publishes while the bus moves is said to be where its readers find it: in the
// old log up to the mark, and in the new log from then on, also if it was published on the
// old bus after the mark.
func TestWhatIsPublishedWhileMovingIsWhereItIsRead(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		publish := func(body string) transport.Stored {
			last, err := n.bus.PublishStored(w.Context(), topic, message.NewMessage("", []byte("before "+body)), message.NewMessage("", []byte(body)))
			if err != nil {
				w.Errorf("%s: %v", body, err)
			}
			return last
		}
		before := publish("a")
		w.send(w.old, provenance.NewMovedAway("mark")) // which waits for a bridge
		after := make(chan transport.Stored, 1)
		go func() { after <- publish("b") }() // on the old bus, after the mark
		synctest.Wait()
		w.bridge()
		late := <-after
		moved := publish("c")
		w.want(n, "before a a movedHere before b b before c c")
		w.readsAt(n, before, "a")
		w.readsAt(n, late, "b")
		w.readsAt(n, moved, "c")
		oldTail, err := w.open(w.old).Tail(w.Context(), topic)
		if err != nil {
			w.Fatal(err)
		}
		newTail, err := w.open(w.new).Tail(w.Context(), topic)
		if err != nil {
			w.Fatal(err)
		}
		if before.At.Log != oldTail.Log || late.At.Log != newTail.Log || moved.At.Log != newTail.Log {
			w.Errorf("logs %x, %x and %x; want %x, and %x twice",
				before.At.Log, late.At.Log, moved.At.Log, oldTail.Log, newTail.Log)
		}
	})
}

// A topic that is not subscribed to is published to all the same.
func TestWhatNobodyReadsIsWhereItWasPublished(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		last, err := n.bus.PublishStored(w.Context(), "other", message.NewMessage("", []byte("x")))
		if err != nil {
			w.Fatal(err)
		}
		at, err := w.open(w.old).Tail(w.Context(), "other")
		if err != nil || at != last.At {
			w.Errorf("the message is at %+v, and said to be at %+v; %v", at, last.At, err)
		}
	})
}

// readsAt checks that the entry at a location is the one with the body.
func (w *world) readsAt(n *reader, at transport.Stored, body string) {
	w.Helper()
	var got string
	from := at.Time.Add(-time.Minute)
	err := n.bus.Replay(w.Context(), topic, at.At, from, func(batch []domain.Entry) bool {
		for i := range batch {
			if batch[i].Position == at.At.Position {
				got = string(batch[i].Body)
			}
		}
		return got == ""
	})
	if err != nil || got != body {
		w.Errorf("at %x is %q, %v; want %q", string(at.At.Position), got, err, body)
	}
}
