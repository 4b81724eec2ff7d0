package migrate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// What all nodes read, whatever bus they have, is published on both; that one of them is
// down delays nobody for longer than a publish may take, and then for no time at all.
func TestPublishToBoth(t *testing.T) {
	in(t, func(w *world) {
		old := &outage{Driver: w.old.Driver(), LogDriver: w.old.Driver().(transport.LogDriver)}
		next := &outage{Driver: w.new.Driver(), LogDriver: w.new.Driver().(transport.LogDriver)}
		b, err := migrate.NewDualBus(transport.New(old, transport.Config{}), transport.New(next, transport.Config{}), migrate.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		go func() { _ = b.Run(w.Context(), func(bool) {}) }()
		from, to := b.Buses()
		readers := map[*memory.Bus]*reader{w.old: {}, w.new: {}}
		readers[w.old].read(w, from.BatchesSince(time.Minute), "control")
		readers[w.new].read(w, to.BatchesSince(time.Minute), "control")
		say := func(text string) error {
			return b.PublishToBoth(w.Context(), "control", message.NewMessage(text, []byte(text)))
		}
		if err := say("one"); err != nil {
			t.Error(err)
		}
		old.set(true)
		if err := say("two"); err != nil {
			t.Errorf("while nobody knows that the old bus is down: %v", err)
		}
		time.Sleep(3 * time.Second)
		if err := say("three"); err != nil || from.Stats().PublishErrors != 1 {
			t.Errorf("%v, and %d tries to publish on a bus that is down", err, from.Stats().PublishErrors)
		}
		next.set(true)
		time.Sleep(3 * time.Second)
		var failed *domain.PublishError
		if err := say("four"); !errors.As(err, &failed) || !errors.Is(err, domain.ErrBusDown) {
			t.Errorf("while both are down: %v", err)
		}
		old.set(false)
		time.Sleep(3 * time.Second)
		if err := say("five"); err != nil {
			t.Error(err)
		}
		next.set(false)
		time.Sleep(3 * time.Second)
		w.want(readers[w.old], "one five")
		w.want(readers[w.new], "one two three")
	})
}

// Ping fails while the bus is down.
func (o *outage) Ping(ctx context.Context) error {
	if o.down.Load() {
		return domain.ErrBusDown
	}
	return o.Driver.Ping(ctx)
}
