package conformance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// notice is how long it may take until a node knows that it hears nothing.
const notice = 6*time.Second + slack

// A watch is a Transport's Run, and what it told.
type watch struct {
	mu   sync.Mutex
	told []bool // guarded by mu
}

// watch runs the Transport's watch until the case is over.
func (r *run) watch(bus *transport.Transport) *watch {
	w := &watch{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- bus.Run(ctx, w.tell) }()
	r.closeLater("a watch", func() error { cancel(); return <-ended })
	return w
}

func (w *watch) tell(up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, up)
}

func (w *watch) has(want ...bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Equal(w.told, want)
}

func (w *watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.told)
}

// down: a node whose broker answers nobody knows soon that the bus is down, and
// does not take itself for deaf; when the broker is back, so is the node.
func down(r *run) {
	thaw := r.h.Thaw
	defer func() { thaw() }()
	bus, topic := r.bus(), r.topic()
	in, _ := r.subscribe(bus.Batches(), topic)
	r.startsWell(r.receive(in))
	a := newAuthor(r, r.bus(), topic)
	a.publish(1)
	w := r.watch(bus)
	h := r.hears(in, func(h *history) bool { return h.last(1) == 1 && w.has(true) })

	r.h.Freeze()
	r.within(notice, "down", func() bool {
		if bus.Deaf() {
			r.Errorf("the node takes itself for deaf, though the broker answers nobody")
		}
		return !bus.Up()
	})
	r.h.Thaw()
	thaw = func() {}
	r.hearsOn(in, h, func(*history) bool { return bus.Up() })
	a.publish(5)
	r.hearsOn(in, h, a.until)
	h.check(r, 1, a.last, a.twice)
	if !w.has(true, false, true) {
		r.Errorf("Run told %s, want up, down, up", w)
	}
}

// deaf: a node whose broker answers, but whose subscriptions bring nothing, knows
// soon that it is deaf, and heals.
func deaf(r *run) {
	thaw := r.h.Thaw
	defer func() { thaw() }()
	bus, topic := r.bus(), r.topic()
	in, _ := r.subscribe(bus.Batches(), topic)
	r.startsWell(r.receive(in))
	a := newAuthor(r, r.bus(), topic)
	a.publish(1)
	w := r.watch(bus)
	h := r.hears(in, func(h *history) bool { return h.last(1) == 1 && w.has(true) })

	r.h.Deafen()
	a.publish(1)
	r.within(notice, "deaf", bus.Deaf)
	if !bus.Up() || bus.Stats().Lagging != 1 {
		r.Errorf("up is %v and %d subscriptions are behind, want true and 1", bus.Up(), bus.Stats().Lagging)
	}
	r.h.Thaw()
	thaw = func() {}
	r.hearsOn(in, h, func(*history) bool { return !bus.Deaf() })
	a.publish(1)
	r.hearsOn(in, h, a.until)
	h.check(r, 1, a.last, a.twice)
}

// within polls until it is so, and wants that in time.
func (r *run) within(d time.Duration, what string, is func() bool) {
	r.Helper()
	for end := time.Now().Add(d); !is(); pause(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("the node is not %s within %v", what, d)
		}
	}
}
