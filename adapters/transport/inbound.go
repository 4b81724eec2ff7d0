package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// InboundLimits limit how much of what this node has put on inbound topics may
// wait there to be consumed. They are in bytes of envelopes, each with what a
// broker needs beside it. Zero is no limit. They apply where the bus can say what
// is consumed (see [ConsumedTrimmer]), and nowhere else.
type InboundLimits struct {
	User   int64 // of one user, in all systems
	System int64 // in one system, of all users
}

// An unconsumer is the part of a [Transport] that says what is not consumed yet.
type unconsumer interface {
	Unconsumed(ctx context.Context, topic string) (oldest time.Duration, err error)
}

// Unconsumed says how old the oldest entry of an inbound topic is that some
// consumer group has not acked; 0 if there is none. From the first call on, what
// all groups have acked is trimmed from the topic. The error wraps
// [domain.ErrUnsupported] if the bus does not know what is consumed; else it is
// what the driver says.
func (t *Transport) Unconsumed(
	ctx context.Context, topic string,
) (oldest time.Duration, err error) {
	driver, ok := t.driver.(ConsumedTrimmer)
	if !ok {
		return 0, fmt.Errorf("transport: what is consumed of %q: %w", topic, domain.ErrUnsupported)
	}
	if t.trimming.trimsPublished {
		t.trimming.markInbound(topic)
		t.startTrimming()
	}
	oldest, err = driver.TrimConsumed(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("transport: what is consumed of %q: %w", topic, busError(err))
	}
	return oldest, nil
}
