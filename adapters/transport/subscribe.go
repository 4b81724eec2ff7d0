package transport

import (
	"bytes"
	"context"
	"encoding/hex"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

// A nacked message comes again after a pause, so that a handler that always
// fails does not burn a core.
const (
	redeliverMin = 2 * time.Millisecond
	redeliverMax = 25 * time.Millisecond
)

// Subscribe is Watermill's one-by-one face: each message is sent again until
// it is acked, the next one follows the ack. UUID and Metadata are as
// published, the Payload is the body; a message without a UUID gets one from
// its position, or a random one where there is no log. Every message handed out
// is the receiver's own, and its context ends with the ack or nack. Breaks are
// logged and counted only.
//
// It returns when the broker confirmed, or an error if it does not within
// Config.FollowTimeout; that wraps domain.ErrBusDown where the broker could not
// be reached. The subscription lives until ctx ends or the Transport is
// closed; then the channel is closed.
func (t *Transport) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	return t.subscribe(ctx, topic, 0, handOutSingly)
}

// Batches returns the batch face: each Watermill message carries
// domain.EntriesFrom(msg.Context()): first a Start, then Records and Breaks, in
// order; the next batch follows the ack. The entries are the receiver's; who
// nacks gets the same slice again, as he left it. Otherwise Subscribe is as the
// Transport's; the face's Close does nothing.
func (t *Transport) Batches() message.Subscriber { return t.BatchesSince(0) }

// BatchesSince returns the batch face of subscriptions that begin age back, so
// far as the log still holds that: the Start's Position is where it begins, and
// its Until the tail at that time. Without a log, or with age 0, they begin at
// the tail, and Until is Position. Ages are measured from this machine's clock
// to the log's own times.
func (t *Transport) BatchesSince(age time.Duration) message.Subscriber { return batches{t, age} }

type batches struct {
	t   *Transport
	age time.Duration
}

func (b batches) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	return b.t.subscribe(ctx, topic, b.age, handOutBatches)
}

func (batches) Close() error { return nil }

func handOutBatches(s *subscription, out chan<- *message.Message) {
	for batch := range s.batches {
		ctx := domain.WithEntries(s.ctx, batch)
		id := hexPosition(batch[len(batch)-1].Position)
		anew := func() *message.Message { return message.NewMessageWithContext(ctx, id, nil) }
		at := batch[len(batch)-1].Position
		if !s.deliver(out, anew) {
			return
		}
		s.setDelivered(at)
	}
}

func handOutSingly(s *subscription, out chan<- *message.Message) {
	for batch := range s.batches {
		for i := range batch {
			if batch[i].Kind == domain.Record && !s.deliver(out, messages(s.ctx, &batch[i])) {
				return
			}
			s.setDelivered(batch[i].Position)
		}
	}
}

// messages returns what makes the message of one record, anew each time.
func messages(ctx context.Context, e *domain.Entry) func() *message.Message {
	id := e.UUID
	if id == "" {
		id = hexPosition(e.Position)
	}
	if id == "" {
		id = watermill.NewUUID()
	}
	return func() *message.Message {
		m := message.NewMessageWithContext(ctx, id, bytes.Clone(e.Body))
		for _, f := range e.Header {
			m.Metadata[f.Name] = f.Value
		}
		return m
	}
}

// batches yields what the reader passes on until ctx ends.
func (s *subscription) batches(yield func([]domain.Entry) bool) {
	for {
		select {
		case batch := <-s.ready:
			if !yield(batch) {
				return
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// deliver hands a message out, made anew each time, until it is acked. It says
// whether ctx lasted.
func (s *subscription) deliver(out chan<- *message.Message, anew func() *message.Message) bool {
	again := backoff{least: redeliverMin, most: redeliverMax}
	for {
		acked, ok := s.attempt(out, anew())
		if !ok || acked {
			return ok
		}
		s.t.counts.redelivered.Add(1)
		if !again.pause(s.ctx) {
			return false
		}
	}
}

// attempt hands a message out once and waits for the answer.
func (s *subscription) attempt(out chan<- *message.Message, m *message.Message) (acked, ok bool) {
	ctx, cancel := context.WithCancel(m.Context())
	defer cancel()
	m.SetContext(ctx)
	select {
	case out <- m:
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

// hexPosition shows a position to people.
func hexPosition(p domain.Position) string { return hex.EncodeToString([]byte(p)) }
