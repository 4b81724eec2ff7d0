package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport/groupcommit"
	"github.com/fanfarebus/fanfare/domain"
)

// pipelineCount is how many group commits there are. A topic always uses the same one,
// which keeps its order.
const pipelineCount = 16

// Publish is Watermill's: it publishes in order and returns when the broker
// has taken all, or a [*domain.PublishError]. It is bounded by
// Config.PublishTimeout.
func (t *Transport) Publish(topic string, messages ...*message.Message) error {
	return t.PublishContext(context.Background(), topic, messages...)
}

// PublishContext is [Transport.Publish], bounded by ctx as well. If ctx ends while
// the messages wait in the queue, they are taken out of it again. Once they are on
// the wire PublishContext returns at once when ctx ends, with the outcome unknown;
// but if this very call leads a group commit, it returns when the broker has
// answered or Config.PublishTimeout is over. See package groupcommit. The messages
// remain the caller's: nothing in them is changed, and nothing of them is used
// after the return.
func (t *Transport) PublishContext(
	ctx context.Context, topic string, messages ...*message.Message,
) error {
	_, err := t.PublishStored(ctx, topic, messages...)
	return err
}

// PublishStored is [Transport.PublishContext], and returns what is known of the last
// message: where the log has it. That is the zero Stored on a bus without a log.
func (t *Transport) PublishStored(
	ctx context.Context, topic string, messages ...*message.Message,
) (last Stored, err error) {
	began := time.Now()
	last, out := t.publish(ctx, topic, messages)
	t.counts.published.Add(uint64(out.Accepted))
	if out.Err == nil {
		if t.cfg.Published != nil {
			t.cfg.Published(time.Since(began))
		}
		return last, nil
	}
	t.counts.publishErrors.Add(uint64(len(messages) - out.Accepted))
	t.publishFailures.warn(t.cfg.Logger, "publishing failed", "topic", topic, "error", out.Err)
	return Stored{}, &domain.PublishError{
		Accepted: out.Accepted,
		Refused:  out.Refused,
		Err:      fmt.Errorf("transport: publish to %q: %w", topic, out.Err),
	}
}

func (t *Transport) publish(
	ctx context.Context, topic string, messages []*message.Message,
) (last Stored, out groupcommit.Outcome) {
	if err := t.checkPublish(ctx, topic, messages); err != nil {
		return Stored{}, groupcommit.Outcome{Refused: true, Err: err}
	}
	records := make([]Outgoing, len(messages))
	for i, m := range messages {
		records[i] = Outgoing{Topic: topic, Message: m}
	}
	out = t.pipeline(topic).Publish(ctx, time.Now().Add(t.cfg.PublishTimeout), records)
	switch {
	case out.Err != nil && out.Err == ctx.Err():
		out.Err = waitError(out.Err)
	case out.Err == nil && t.guarantees.Log && len(records) > 0:
		last = records[len(records)-1].Stored
	}
	return last, out
}

// pipeline returns the group commit of a topic.
func (t *Transport) pipeline(topic string) *groupcommit.Pipeline[Outgoing] {
	return t.pipelines[domain.HashID(topic)%pipelineCount]
}

// checkPublish returns an error if nothing of a publish is to be sent.
func (t *Transport) checkPublish(
	ctx context.Context, topic string, messages []*message.Message,
) error {
	if err := ctx.Err(); err != nil {
		return waitError(err)
	}
	if err := t.CheckTopic(topic); err != nil {
		return err
	}
	for i, m := range messages {
		if m == nil {
			return fmt.Errorf("message %d is nil: %w", i, domain.ErrInvalid)
		}
	}
	return nil
}

// prepare numbers what is about to be sent, and has its topics trimmed.
func (t *Transport) prepare(records []Outgoing) {
	if t.numberer != nil {
		t.number(records)
	}
	if t.trimming.trimsPublished {
		t.trimPublished(records)
	}
}

// copyMessages replaces the messages of records by copies of all that a
// publisher could change later, with two allocations and one for each message's
// metadata. Envelopes share theirs.
func (t *Transport) copyMessages(records []Outgoing) {
	size := 0
	for _, r := range records {
		size += len(r.Message.Payload)
	}
	payloads := make([]byte, 0, size)
	values := make([]message.Message, len(records))
	for i := range records {
		m, c := records[i].Message, &values[i]
		if m == t.highWaterMark {
			continue // nobody ever changes it, and number recognises it by its address
		}
		c.UUID = m.UUID
		c.SetContext(m.Context())
		switch {
		case len(m.Metadata) == 1 && m.Metadata[RawKey] == rawOnly[RawKey]:
			c.Metadata = rawOnly
		case len(m.Metadata) > 0:
			c.Metadata = make(message.Metadata, len(m.Metadata))
			for k, v := range m.Metadata {
				c.Metadata[k] = v
			}
		}
		start := len(payloads)
		payloads = append(payloads, m.Payload...)
		c.Payload = payloads[start:len(payloads):len(payloads)]
		records[i].Message = c
	}
}
