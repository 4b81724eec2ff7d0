package transport

import (
	"bytes"
	"context"
	"encoding/hex"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// A nacked message comes again after a pause, so that a handler that always
// fails does not burn a core.
const (
	redeliverMin = 2 * time.Millisecond
	redeliverMax = 25 * time.Millisecond
)

// Subscribe is Watermill's subscription, one message at a time: each message is
// sent again until it is acked, and the next one follows the ack. UUID and
// Metadata are as published, the Payload is the body. A message without a UUID
// gets one from its position, or a new id where there is no log. Every message
// handed out is the receiver's own, and its context ends with the ack or nack.
// Gaps are only logged and counted.
//
// Subscribe returns when the broker has confirmed, or with an error if it does
// not within Config.FollowTimeout; the error wraps [domain.ErrBusDown] where the
// broker could not be reached. The subscription lives until ctx ends or the
// Transport is closed; then the channel is closed.
func (t *Transport) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	return t.subscribe(ctx, topic, 0, handOutSingly)
}

// Batches returns a subscriber whose Watermill messages carry a whole batch of
// entries, which [domain.EntriesFrom] takes from a message's context: first a
// Start, then Records and Gaps, in order. The next batch follows the ack. The
// entries are the receiver's. After a nack the same slice comes again, with
// whatever the receiver has changed in it. Otherwise its Subscribe is that of the
// Transport; its Close does nothing.
func (t *Transport) Batches() message.Subscriber { return t.BatchesSince(0) }

// BatchesSince is [Transport.Batches] for subscriptions that begin age back, as
// far as the log still holds that: the Start's Position is where the subscription
// begins, and its Tail is where the log ended at that time. Without a log, or with
// age 0, subscriptions begin at the tail, and Tail equals Position. An age is
// subtracted from this machine's clock and compared with the log's own times.
func (t *Transport) BatchesSince(age time.Duration) message.Subscriber { return batches{t, age} }

type batches struct {
	t   *Transport
	age time.Duration
}

func (b batches) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	return b.t.subscribe(ctx, topic, b.age, handOutBatches)
}

func (batches) Close() error { return nil }

// handOutBatches is the handOut of [Transport.Batches].
func handOutBatches(s *subscription, batch []domain.Entry) bool {
	ctx := domain.WithEntries(s.ctx, batch)
	last := batch[len(batch)-1].Position // the receiver may change the batch
	id := hexPosition(last)
	if !s.deliver(func() *message.Message { return message.NewMessageWithContext(ctx, id, nil) }) {
		return false
	}
	s.setDelivered(last)
	return true
}

// handOutSingly is the handOut of [Transport.Subscribe].
func handOutSingly(s *subscription, batch []domain.Entry) bool {
	for i := range batch {
		if batch[i].Kind == domain.Record && !s.deliver(messages(s.ctx, &batch[i])) {
			return false
		}
		s.setDelivered(batch[i].Position)
	}
	return true
}

// messages returns a function that makes the message of one record, a new one
// each time.
func messages(ctx context.Context, e *domain.Entry) func() *message.Message {
	id := e.UUID
	if id == "" {
		id = hexPosition(e.Position)
	}
	if id == "" {
		id = domain.NewID()
	}
	return func() *message.Message {
		m := message.NewMessageWithContext(ctx, id, bytes.Clone(e.Body))
		for _, f := range e.Header {
			m.Metadata[f.Name] = f.Value
		}
		return m
	}
}

// deliver hands a message out until it is acked: each time another one, which next
// makes. It reports whether ctx is still alive.
func (s *subscription) deliver(next func() *message.Message) bool {
	again := pause.Backoff{Min: redeliverMin, Max: redeliverMax}
	for {
		acked, ok := s.attempt(next())
		if !ok || acked {
			return ok
		}
		s.t.counts.redelivered.Add(1)
		if !again.Wait(s.ctx) {
			return false
		}
	}
}

// attempt hands a message out once and waits for its ack or nack; ok is false if
// ctx ended first.
func (s *subscription) attempt(m *message.Message) (acked, ok bool) {
	ctx, cancel := context.WithCancel(m.Context())
	defer cancel()
	m.SetContext(ctx)
	select {
	case s.out <- m:
	case <-s.ctx.Done():
		return false, false
	}
	select {
	case <-m.Acked():
		return true, true
	case <-m.Nacked():
		return false, true
	case <-s.ctx.Done():
		return false, false
	}
}

// hexPosition writes a position for people to read.
func hexPosition(p domain.Position) string { return hex.EncodeToString([]byte(p)) }
