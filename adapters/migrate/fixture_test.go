package migrate_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const topic = "orders"

// A world has an old bus and a new bus, in a synctest bubble.
type world struct {
	*testing.T
	old, new *memory.Bus
	number   int
}

func in(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, old: memory.New(memory.Config{}), new: memory.New(memory.Config{})}
		t.Cleanup(func() { w.old.Close(); w.new.Close() })
		test(w)
	})
}

func (w *world) open(bus *memory.Bus) *transport.Transport {
	t := transport.New(bus.Driver(), transport.Config{})
	w.Cleanup(func() { t.Close() })
	return t
}

// publish publishes the next number.
func (w *world) publish(bus *memory.Bus) {
	w.Helper()
	w.number++
	w.send(bus, message.NewMessage(fmt.Sprint("id-", w.number), fmt.Append(nil, w.number)))
}

func (w *world) send(bus *memory.Bus, m *message.Message) {
	w.Helper()
	if errs := bus.Publish(w.Context(), []transport.Outgoing{{Topic: topic, Message: m}}); errs != nil {
		w.Fatal(errs)
	}
}

// bridge starts a Bridge. Stop stops it and returns what Run returned.
func (w *world) bridge() (stop func() error) {
	w.Helper()
	b, err := migrate.NewBridge(w.open(w.old), w.open(w.new), migrate.BridgeConfig{})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, topic) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	w.Cleanup(func() { stop() })
	synctest.Wait()
	return stop
}

func (w *world) cutOver() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	if err := migrate.CutOver(ctx, w.open(w.old), w.open(w.new), topic); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}

// A reader records what a node would receive.
type reader struct {
	bus   *migrate.DualBus
	mu    sync.Mutex
	words []string
}

// node reads as a node does that is configured with both buses.
func (w *world) node() *reader {
	w.Helper()
	b, err := migrate.NewDualBus(w.open(w.old), w.open(w.new), migrate.Config{})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { b.Close() })
	r := &reader{bus: b}
	r.read(w, b.BatchesSince(10*time.Minute), topic)
	return r
}

// plain reads as a node does that is configured with one bus only.
func (w *world) plain(bus *memory.Bus) *reader {
	w.Helper()
	r := &reader{}
	r.read(w, w.open(bus).BatchesSince(10*time.Minute), topic)
	return r
}

func (r *reader) read(w *world, face message.Subscriber, name string) {
	w.Helper()
	messages, err := face.Subscribe(w.Context(), name)
	if err != nil {
		w.Fatal(err)
	}
	go func() {
		for m := range messages {
			batch, _ := domain.EntriesFrom(m.Context())
			r.mu.Lock()
			for i := range batch {
				r.words = append(r.words, describe(&batch[i])...)
			}
			r.mu.Unlock()
			m.Ack()
		}
	}()
	synctest.Wait()
}

// describe returns an entry as the tests write it: a record's body, or the entry's
// kind. It returns nothing for kinds that the tests do not mention.
func describe(e *domain.Entry) []string {
	switch e.Kind {
	case domain.Record:
		return []string{string(e.Body)}
	case domain.MovedHere:
		return []string{"movedHere"}
	case domain.MovedAway:
		return []string{"movedAway"}
	case domain.Gap:
		return []string{"gap"}
	}
	return nil
}

func (r *reader) received() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.words, " ")
}

func (w *world) want(r *reader, want string) {
	w.Helper()
	if got := r.received(); got != want {
		w.Errorf("received %q, want %q", got, want)
	}
}

func numbers(from, to int) string {
	all := make([]string, 0, to-from+1)
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return strings.Join(slices.Clip(all), " ")
}

// An outage is a driver whose bus may be down.
type outage struct {
	transport.Driver
	transport.LogDriver
	down atomic.Bool
}

func (o *outage) set(down bool) { o.down.Store(down) }

func (o *outage) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if o.down.Load() {
		return nil, domain.ErrBusDown
	}
	return o.Driver.Follow(ctx, topic, after)
}

func (o *outage) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	if o.down.Load() {
		return nil, domain.ErrBusDown
	}
	return o.LogDriver.FollowSince(ctx, topic, t)
}

func (o *outage) Tail(ctx context.Context, topic string) (domain.Position, error) {
	if o.down.Load() {
		return "", domain.ErrBusDown
	}
	return o.LogDriver.Tail(ctx, topic)
}

func (o *outage) Publish(ctx context.Context, records []transport.Outgoing) []error {
	if o.down.Load() {
		return slices.Repeat([]error{domain.ErrBusDown}, len(records))
	}
	return o.Driver.Publish(ctx, records)
}
