package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

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
	line := t.line(topic)
	deadline := time.Now().Add(t.cfg.PublishTimeout)
	// A long call goes in parts, one after the other: so it can neither fill
	// the line alone nor hold up its neighbours.
	part := min(maxCommit, t.cfg.PublishQueue)
	for accepted < len(messages) {
		rest := messages[accepted:]
		c := &call{topic: topic, messages: rest[:min(part, len(rest))], deadline: deadline}
		out := line.publish(ctx, c)
		accepted += out.accepted
		if out.err != nil {
			return accepted, out.refused, out.err
		}
	}
	return accepted, false, nil
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

// line returns the pipeline of a topic.
func (t *Transport) line(topic string) *pipeline { return &t.lines[domain.HashID(topic)%shards] }
