package conformance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// noticeWithin is how long it may take a node to notice that it receives nothing.
const noticeWithin = 6*time.Second + slack

// A watch records what a Transport's Run reports.
type watch struct {
	mu       sync.Mutex
	reported []bool // guarded by mu
}

// watch calls the Transport's Run until the case ends.
func (r *run) watch(bus *transport.Transport) *watch {
	w := &watch{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- bus.Run(ctx, w.record) }()
	r.closeLater("a watch", func() error { cancel(); return <-ended })
	return w
}

func (w *watch) record(up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reported = append(w.reported, up)
}

func (w *watch) has(want ...bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Equal(w.reported, want)
}

func (w *watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.reported)
}

// down checks a node whose broker answers nobody. The node soon notices that the
// bus is down, and is not deaf. When the broker is back, the node works again.
func down(r *run) {
	thaw := r.h.Thaw
	defer func() { thaw() }()
	bus, topic := r.bus(), r.topic()
	in, _ := r.subscribe(bus.Batches(), topic)
	r.startsWell(r.receive(in))
	a := newAuthor(r, r.bus(), topic)
	a.publish(1)
	w := r.watch(bus)
	h := r.collect(in, func(h *history) bool { return h.last(1) == 1 && w.has(true) })

	r.h.Freeze()
	r.within(noticeWithin, "down", func() bool {
		if bus.Deaf() {
			r.Errorf("the node takes itself for deaf, though the broker answers nobody")
		}
		return !bus.Up()
	})
	r.h.Thaw()
	thaw = func() {}
	r.collectInto(in, h, func(*history) bool { return bus.Up() })
	a.publish(5)
	r.collectInto(in, h, a.caughtUp)
	h.check(r, 1, a.last, a.twice)
	if !w.has(true, false, true) {
		r.Errorf("Run told %s, want up, down, up", w)
	}
}

// deaf checks a node whose broker answers, but whose subscriptions receive
// nothing. The node soon notices that it is deaf. When the fault ends, the node
// works again.
func deaf(r *run) {
	thaw := r.h.Thaw
	defer func() { thaw() }()
	bus, topic := r.bus(), r.topic()
	in, _ := r.subscribe(bus.Batches(), topic)
	r.startsWell(r.receive(in))
	a := newAuthor(r, r.bus(), topic)
	a.publish(1)
	w := r.watch(bus)
	h := r.collect(in, func(h *history) bool { return h.last(1) == 1 && w.has(true) })

	r.h.Deafen()
	a.publish(1)
	r.within(noticeWithin, "deaf", bus.Deaf)
	if !bus.Up() || bus.Stats().Lagging != 1 {
		r.Errorf("up is %v and %d subscriptions are behind, want true and 1", bus.Up(), bus.Stats().Lagging)
	}
	r.h.Thaw()
	thaw = func() {}
	r.collectInto(in, h, func(*history) bool { return !bus.Deaf() })
	a.publish(1)
	r.collectInto(in, h, a.caughtUp)
	h.check(r, 1, a.last, a.twice)
}

// within polls until the condition holds, which must happen in time.
func (r *run) within(d time.Duration, what string, condition func() bool) {
	r.Helper()
	for end := time.Now().Add(d); !condition(); pause(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("the node is not %s within %v", what, d)
		}
	}
}
