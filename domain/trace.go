package domain

import (
	"context"
	"time"
)

// A Tracer makes the spans of a distributed trace: one where messages are published, and
// one on each node that has read a message. It is safe for concurrent use and does not
// block.
type Tracer interface {
	// Publish begins the span of publishing messages of a system to a topic. It returns
	// the messages to publish in their place, which may be copies that name the span as
	// their [Message.Traceparent]; it changes none. The caller calls end once, with what
	// came of the publish.
	Publish(
		ctx context.Context, system System, topic string, msgs []*Message,
	) (traced []*Message, end func(error))

	// Deliver records the span of a message that a node has read and given to its
	// sessions.
	Deliver(Delivery)
}

// A Delivery is what one node has done with a message that belongs to a trace.
type Delivery struct {
	System      System
	Topic       string
	ID          string // of the message
	Traceparent string // of the message: the span of its publish, or that of who published it
	Size        int    // of the message's data, in bytes
	Read, Done  time.Time
	Outcome
}

// An Outcome says what became of a message in a stream of one node. Sessions are counted
// when the message comes; those that ask for it later are not.
type Outcome struct {
	Duplicate bool // it has come before, and was passed over
	Expired   bool // its TTL was over, and it was passed over
	// Offered is how many sessions were offered the message at once: it is in the queue of
	// what is written to them.
	Offered int32
	// Behind is how many sessions it is for that are given it later from the window, since
	// they are slow or have not caught up.
	Behind int32
}
