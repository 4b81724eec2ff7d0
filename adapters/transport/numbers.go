package transport

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport/sequence"
)

// newHighWaterMark returns the message that stands for the high-water mark of any topic.
// [Transport.number] recognises it by its address.
func newHighWaterMark() *message.Message {
	m := message.NewMessage("", nil)
	m.Metadata.Set(RawKey, "1")
	return m
}

// number replaces the records' messages by numbered copies; the messages themselves
// stay as they are. The first call starts the goroutine that publishes the
// high-water marks, which Close waits for.
func (t *Transport) number(records []Outgoing) {
	t.numberRecords(records)
	t.startHighWaterMarks.Do(func() {
		if t.enter() != nil {
			return // closed: no mark is due any more
		}
		go func() {
			defer t.running.Done()
			t.publishHighWaterMarks()
		}()
	})
}

func (t *Transport) numberRecords(records []Outgoing) {
	size := 0
	for _, r := range records {
		size += len(r.Message.Payload)
	}
	copies := make([]message.Message, len(records))
	batch := t.numberer.Begin(len(records), size)
	defer batch.End()
	for i := range records {
		payload, ok := t.numberedPayload(batch, &records[i])
		if !ok {
			continue
		}
		m, c := records[i].Message, &copies[i]
		c.UUID, c.Metadata, c.Payload = m.UUID, m.Metadata, payload
		c.SetContext(m.Context())
		records[i].Message = c
	}
}

// numberedPayload returns a record's payload with its number in it; false if it
// gets none.
func (t *Transport) numberedPayload(batch *sequence.Batch, r *Outgoing) ([]byte, bool) {
	switch {
	case r.Message == t.highWaterMark:
		return batch.HighWaterMark(r.Topic), true
	case r.Message.Metadata[RawKey] == "":
		return nil, false
	}
	return batch.Number(r.Topic, r.Message.Payload)
}

// publishHighWaterMarks publishes high-water marks when they are due, until Close.
func (t *Transport) publishHighWaterMarks() {
	for {
		now := time.Now()
		topics, next := t.numberer.DueHighWaterMarks(now)
		for _, topic := range topics {
			t.publishHighWaterMark(topic)
		}
		wait := sequence.HighWaterMarkMax
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-t.numberer.Wake():
		case <-t.closing.Done():
		}
		timer.Stop()
		if t.closing.Err() != nil {
			return
		}
	}
}

// publishHighWaterMark publishes a topic's high-water mark, and tries once. It gets its
// number when it is sent, as messages do. So it stays true when messages that were
// published after it became due are sent before it.
func (t *Transport) publishHighWaterMark(topic string) {
	mark := []Outgoing{{Topic: topic, Message: t.highWaterMark}}
	deadline := time.Now().Add(t.cfg.PublishTimeout)
	out := t.pipeline(topic).Publish(context.WithoutCancel(t.closing), deadline, mark)
	if out.Err != nil {
		t.cfg.Logger.Debug("a high-water mark was not published", "topic", topic, "error", out.Err)
		return
	}
	t.counts.highWaterMarks.Add(1)
}
