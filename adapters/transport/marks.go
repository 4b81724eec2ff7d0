package transport

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport/sequence"
)

// newMark returns a message that stands for any topic's high-water mark, and is
// known by its address.
func newMark() *message.Message {
	m := message.NewMessage("", nil)
	m.Metadata.Set(RawKey, "1")
	return m
}

// stamp numbers a commit's records: it replaces their messages by copies and
// changes none. The first time it starts the goroutine that publishes the marks,
// which Close waits for.
func (t *Transport) stamp(records []Outgoing) {
	t.number(records)
	t.marking.Do(func() {
		if t.enter() != nil {
			return // after Close nothing is due
		}
		go func() {
			defer t.running.Done()
			t.publishMarks()
		}()
	})
}

func (t *Transport) number(records []Outgoing) {
	size := 0
	for _, r := range records {
		size += len(r.Message.Payload)
	}
	copies := make([]message.Message, len(records))
	batch := t.stamps.Begin(len(records), size)
	defer batch.End()
	for i := range records {
		payload, ok := t.numbered(batch, &records[i])
		if !ok {
			continue
		}
		m, c := records[i].Message, &copies[i]
		c.UUID, c.Metadata, c.Payload = m.UUID, m.Metadata, payload
		c.SetContext(m.Context())
		records[i].Message = c
	}
}

// numbered returns a record's payload with its number; false if it gets none.
func (t *Transport) numbered(batch *sequence.Batch, r *Outgoing) ([]byte, bool) {
	switch {
	case r.Message == t.mark:
		return batch.Mark(r.Topic), true
	case r.Message.Metadata[RawKey] == "":
		return nil, false
	}
	return batch.Number(r.Topic, r.Message.Payload)
}

// publishMarks publishes high-water marks when they are due, until Close.
func (t *Transport) publishMarks() {
	for {
		now := time.Now()
		topics, next := t.stamps.DueMarks(now)
		for _, topic := range topics {
			t.publishMark(topic)
		}
		wait := sequence.MarkMax
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-t.stamps.Wake():
		case <-t.ending.Done():
		}
		timer.Stop()
		if t.ending.Err() != nil {
			return
		}
	}
}

// publishMark tries once. The mark's number is given where all are, so a
// message that overtakes it does no harm.
func (t *Transport) publishMark(topic string) {
	mark := []Outgoing{{Topic: topic, Message: t.mark}}
	deadline := time.Now().Add(t.cfg.PublishTimeout)
	out := t.line(topic).Publish(context.WithoutCancel(t.ending), deadline, mark)
	if out.Err != nil {
		t.cfg.Logger.Debug("a high-water mark was not published", "topic", topic, "error", out.Err)
		return
	}
	t.counts.marks.Add(1)
}
