package subscriber

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// The pauses before a subscription that failed is tried again double from resubscribeMin to
// resubscribeMax.
const (
	resubscribeMin = 100 * time.Millisecond
	resubscribeMax = 5 * time.Second
)

// A decoder makes a job of what a topic carried, with everything but its message.
type decoder func(system string, body []byte) (job, error)

// A receiver takes messages from one topic and has them handled.
type receiver struct {
	*Subscriber
	system, topic string
	decode        decoder
}

// receive subscribes, again and again if need be, until ctx ends or the Subscriber is
// closed. It returns an error if it makes no sense to try again.
func (r *receiver) receive(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	backoff := pause.Backoff{Min: resubscribeMin, Max: resubscribeMax}
	for ctx.Err() == nil {
		err := r.subscribe(ctx, backoff.Reset)
		if ctx.Err() != nil {
			break
		}
		if err != nil && (!errors.Is(err, domain.ErrBusDown) || errors.Is(err, domain.ErrClosed)) {
			return err
		}
		r.cfg.Logger.Warn("a subscription is interrupted; trying again",
			"topic", r.topic, "group", r.group, "error", err)
		backoff.Wait(ctx)
	}
	return ctx.Err()
}

// subscribe subscribes once, and handles what comes until ctx or the subscription ends. It
// calls began when the bus has confirmed.
func (r *receiver) subscribe(ctx context.Context, began func()) error {
	// What was handled while ctx ended is still acked, so the subscription ends later.
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, end) // until the bus has confirmed
	sub := message.Subscriber(r.bus)
	if r.Shared() {
		member, err := r.bus.GroupWindow(r.group, r.cfg.InFlight)
		if err != nil {
			return err
		}
		defer func() { _ = member.Close() }()
		sub = member
	}
	messages, err := sub.Subscribe(alive, r.topic)
	if err != nil {
		return err
	}
	if !stop() {
		return ctx.Err()
	}
	began()
	lanes := newLanes(r)
	lanes.take(ctx, messages)
	lanes.wait()
	end()
	for range messages { // the subscription closes it, and gives back what is left
	}
	return nil
}
