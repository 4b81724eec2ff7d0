package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// cancel checks that subscriptions, reads and messages end with their contexts,
// and that reads end with Close.
func cancel(r *run) {
	d, bus, topic := r.driver(), r.bus(), r.topic()
	single, leaveSingle := r.subscribe(bus, topic)
	batches, leaveBatches := r.subscribe(bus.Batches(), topic)
	r.publish(d, topic, framed(1, 3)...)
	held := r.receive(single)
	r.startsWell(r.receive(batches))
	leaveSingle()
	leaveBatches()
	r.isOver(held.Context(), "a message that is not settled, when its subscription ends,")
	r.ends(single, "a subscription that was cancelled with a message in flight")
	r.ends(batches, "a subscription that was cancelled")

	over, stop := context.WithCancel(context.Background())
	stop()
	if f, err := d.Follow(over, topic, ""); err == nil {
		_ = f.Close()
		r.Errorf("Follow succeeds though its context is over")
	}
	r.endsRead("its context", r.follow(d, topic, ""), func(_ *reader, cancel context.CancelFunc) { cancel() })
	r.endsRead("Close", r.follow(d, topic, ""), func(f *reader, _ context.CancelFunc) {
		if err := errors.Join(f.Close(), f.Close()); err != nil {
			r.Errorf("closing a feed twice: %v", err)
		}
	})
}

// endsRead checks that a waiting Read ends with an error, and that after Close
// every further Read does.
func (r *run) endsRead(with string, f *reader, end func(*reader, context.CancelFunc)) {
	r.Helper()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := f.read(ctx)
		done <- err
	}()
	pause(20 * time.Millisecond) // Read probably waits by now; it must end in either case
	end(f, stop)
	select {
	case err := <-done:
		if err == nil {
			r.Errorf("a Read that %s ended has no error", with)
		}
	case <-time.After(r.h.Patience):
		r.Fatalf("%s does not end a Read that waits", with)
	}
	_ = f.Close()
	again, cancelAgain := r.patient()
	defer cancelAgain()
	if batch, err := f.Read(again); err == nil || again.Err() != nil {
		r.Errorf("after Close a feed returns %d entries and %v", len(batch), err)
	}
}

// closing checks that Close ends everything and may be called twice, and that
// calls after it fail.
func closing(r *run) {
	d, bus, topic := r.driver(), r.bus(), r.topic()
	in, _ := r.subscribe(bus, topic)
	f := r.follow(d, topic, "")
	r.publish(d, topic, framed(1, 2)...)
	r.receive(in) // is neither acked nor nacked
	f.take(2)
	r.closes("a feed", f.Close)
	for range 2 {
		r.closes("a driver", d.Close)
		r.closes("a Transport", bus.Close)
	}
	r.ends(in, "after Close")

	ctx, stop := r.patient()
	defer stop()
	if g, err := d.Follow(ctx, topic, ""); err == nil {
		_ = g.Close()
		r.Errorf("a driver that is closed follows")
	}
	errs := d.Publish(ctx, on(topic, framed(1, 2)...))
	if len(errs) != 2 || errs[0] == nil || errs[1] == nil {
		r.Errorf("a driver that is closed publishes: %v", errs)
	}
	if d.Ping(ctx) == nil {
		r.Errorf("a driver that is closed says that the broker is there")
	}
	if _, err := bus.Subscribe(ctx, topic); !errors.Is(err, domain.ErrClosed) {
		r.Errorf("Subscribe after Close: %v", err)
	}
	if err := bus.Publish(topic, framed(1, 1)...); !errors.Is(err, domain.ErrClosed) {
		r.Errorf("Publish after Close: %v", err)
	}
}

// closeWhilePublishing checks that what was confirmed before Close is on the bus,
// and that every other call fails.
func closeWhilePublishing(r *run) {
	const publishers = 4
	bus, pub, topic := r.bus(), r.bus(), r.topic()
	in, _ := r.subscribe(bus.Batches(), topic)
	r.startsWell(r.receive(in))
	all := make(chan struct{}, publishers)
	confirmed, errs := make([]int, publishers), make([]error, publishers)
	for p := range publishers {
		go func() {
			defer func() { all <- struct{}{} }()
			for errs[p] == nil {
				if errs[p] = pub.Publish(topic, number{p, confirmed[p] + 1}.message()); errs[p] == nil {
					confirmed[p]++
				}
			}
		}()
	}
	h := r.collect(in, func(h *history) bool { return h.last(0) >= 20 })
	closed := make(chan struct{}, 2)
	for range cap(closed) {
		go func() {
			r.closes("a Transport", pub.Close)
			closed <- struct{}{}
		}()
	}
	r.collectInto(in, h, func(*history) bool { return len(closed) == cap(closed) && len(all) == publishers })
	for range publishers {
		<-all
	}
	for p, err := range errs {
		if !errors.Is(err, domain.ErrClosed) && !errors.Is(err, domain.ErrBusDown) {
			r.Errorf("a Publish that Close overtook: %v", err)
		}
		r.collectInto(in, h, func(h *history) bool { return h.last(p) >= confirmed[p] || h.gaps > 0 })
		h.check(r, p, confirmed[p], nil)
	}
}
