package migrate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

const (
	// clockSlack bounds how much the clocks of this machine and of the two buses
	// may differ, and how long the mark may be on its way to the new bus, taken
	// together.
	clockSlack = time.Minute
	// showsMoveWithin is how far back the new log is searched for an entry that
	// shows that it has taken over. A Bridge writes one every AnnounceEvery.
	showsMoveWithin = 5 * time.Minute
)

// BatchesSince returns a subscriber whose subscriptions begin with the entries
// that are at most that old; see [transport.Transport.BatchesSince]. When a
// subscription passes the move it receives an entry of the kind
// [domain.MovedHere] and, if something was published on the new bus before it
// took over, a [domain.Gap] after it. A subscription needs both buses to begin,
// because only the new bus says whether it has taken over.
func (b *DualBus) BatchesSince(age time.Duration) message.Subscriber { return subscriber{b, age} }

type subscriber struct {
	bus *DualBus
	age time.Duration
}

// Close does nothing, since subscriptions end with their contexts or with the
// DualBus.
func (subscriber) Close() error { return nil }

// Subscribe begins on the bus that defines the order of the topic now.
func (f subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	b := f.bus
	if !b.startSubscription() {
		return nil, fmt.Errorf("move: subscribe to %q: %w", topic, domain.ErrClosed)
	}
	newLog, moved, err := b.findMove(ctx, topic, max(f.age, showsMoveWithin))
	if err != nil {
		b.running.Done()
		return nil, fmt.Errorf("move: subscribe to %q: does the new bus have its turn? %w", topic, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(b.ctx, cancel)
	s := &subscription{bus: b, topic: topic, newLog: newLog, ctx: ctx, out: make(chan *message.Message)}
	// A mark whose copy has not arrived yet must not be missed, so the old bus is
	// read from further back than the caller asks for.
	bus, age := b.from, max(f.age, clockSlack)
	if moved {
		bus, age = b.to, f.age
	}
	in, err := bus.BatchesSince(age).Subscribe(s.contextOfFirst(), topic)
	if err != nil {
		stop()
		cancel()
		b.running.Done()
		return nil, fmt.Errorf("move: %w", err)
	}
	b.updateTopic(topic, func(t *topicState) {
		t.subscriptions++
		t.newLog = newLog
		t.moved = t.moved || moved
	})
	go func() {
		defer b.running.Done()
		defer close(s.out)
		defer stop()
		defer cancel()
		defer b.updateTopic(topic, func(t *topicState) { t.subscriptions--; t.awaitsCutoverMark = time.Time{} })
		s.run(in, moved)
	}()
	return s.out, nil
}

// startSubscription reports whether the DualBus is open, and if so keeps Close
// waiting until running.Done is called.
func (b *DualBus) startSubscription() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.running.Add(1)
	return true
}

// findMove reads the new bus to find out whether it has taken over, and returns
// its log. If the log holds records that are no copies, and nothing shows that it
// has taken over, the error is ErrNotACopy: to begin on either bus could be
// wrong.
func (b *DualBus) findMove(
	ctx context.Context, topic string, age time.Duration,
) (newLog domain.LogID, moved bool, err error) {
	ownRecord := false
	search := func(batch []domain.Entry) bool {
		for i := range batch {
			ownRecord = ownRecord || isOwnRecord(&batch[i])
		}
		moved = slices.ContainsFunc(batch, func(e domain.Entry) bool { return showsMove(&e) })
		return !moved
	}
	last, err := b.to.Scan(ctx, topic, "", time.Now().Add(-age), search)
	if err == nil && ownRecord && !moved {
		// The last Bridge may have ended long ago. Then only the mark's copy,
		// further back, can show the move.
		_, err = b.to.Scan(ctx, topic, "", time.Time{}, search)
		if err == nil && !moved {
			err = fmt.Errorf("%w, and no mark: set up the new bus alone if the move is long over", ErrNotACopy)
		}
	}
	return last.Log, moved, err
}
