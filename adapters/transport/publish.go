package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport/groupcommit"
	"github.com/fanfarebus/fanfare/domain"
)

// A PublishError says how far a publish came: the first Accepted messages are
// on the bus; of those behind them it is not known, unless Refused.
type PublishError struct {
	Accepted int
	// Refused: the bus has none of the rest: it was not sent, or the broker
	// answered that it does not take it.
	Refused bool
	// Err wraps domain.ErrBusDown when the broker could not be reached or did
	// not answer in time, domain.ErrLimit when the queue is full,
	// domain.ErrInvalid for what cannot be sent at all, domain.ErrClosed after
	// Close, and the context's error when the caller's context ended.
	Err error
}

func (e *PublishError) Error() string {
	how := "outcome unknown"
	if e.Refused {
		how = "none of it is on the bus"
	}
	if e.Accepted > 0 {
		how = fmt.Sprintf("%d accepted, the rest: %s", e.Accepted, how)
	}
	return fmt.Sprintf("%v (%s)", e.Err, how)
}

// Unwrap returns Err.
func (e *PublishError) Unwrap() error { return e.Err }

// Publish is Watermill's: it publishes in order and returns when the broker
// has taken all, or a *PublishError. It is bounded by Config.PublishTimeout.
func (t *Transport) Publish(topic string, messages ...*message.Message) error {
	return t.PublishContext(context.Background(), topic, messages...)
}

// PublishContext is Publish bounded by a context as well. While the messages
// wait in line the end of the context takes them out again; once they are on
// the wire it returns at once with the outcome unknown, or, if this very call
// carries the pipeline, when the broker has answered or Config.PublishTimeout
// is over. The messages remain the caller's: nothing is changed, and nothing
// of them is used after the return.
func (t *Transport) PublishContext(ctx context.Context, topic string, messages ...*message.Message) error {
	accepted, refused, err := t.publish(ctx, topic, messages)
	t.counts.published.Add(uint64(accepted))
	if err == nil {
		return nil
	}
	t.counts.publishErrors.Add(uint64(len(messages) - accepted))
	t.refused.warn(t.cfg.Logger, "publishing failed", "topic", topic, "error", err)
	return &PublishError{
		Accepted: accepted,
		Refused:  refused,
		Err:      fmt.Errorf("transport: publish to %q: %w", topic, err),
	}
}

func (t *Transport) publish(ctx context.Context, topic string, messages []*message.Message) (accepted int, refused bool, err error) {
	if err := t.checkPublish(ctx, topic, messages); err != nil {
		return 0, true, err
	}
	records := make([]Outgoing, len(messages))
	for i, m := range messages {
		records[i] = Outgoing{Topic: topic, Message: m}
	}
	out := t.line(topic).Publish(ctx, time.Now().Add(t.cfg.PublishTimeout), records)
	if out.Err != nil && out.Err == ctx.Err() {
		out.Err = waitError(out.Err)
	}
	return out.Accepted, out.Refused, out.Err
}

func (t *Transport) checkPublish(ctx context.Context, topic string, messages []*message.Message) error {
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

// shards is how many pipelines there are. A topic always has the same one,
// which keeps its order.
const shards = 16

// line returns the pipeline of a topic.
func (t *Transport) line(topic string) *groupcommit.Pipeline[Outgoing] {
	return t.lines[domain.HashID(topic)%shards]
}

// prepare numbers what is about to be sent, and sees to it that its topics are
// trimmed.
func (t *Transport) prepare(records []Outgoing) {
	if t.stamps != nil {
		t.stamp(records)
	}
	if t.trims.published {
		t.publishes(records)
	}
}

// copyMessages replaces the messages of records by copies of all that a
// publisher could change later, with two allocations and one for each message's
// metadata.
func (t *Transport) copyMessages(records []Outgoing) {
	size := 0
	for _, r := range records {
		size += len(r.Message.Payload)
	}
	payloads := make([]byte, 0, size)
	values := make([]message.Message, len(records))
	for i := range records {
		m, c := records[i].Message, &values[i]
		if m == t.mark {
			continue // nobody ever changes it, and it is known by its address
		}
		c.UUID = m.UUID
		c.SetContext(m.Context())
		if len(m.Metadata) > 0 {
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
