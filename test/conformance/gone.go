package conformance

import (
	"errors"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// trim checks that a position is refused if entries after it were trimmed, and
// accepted if they are all there.
func trim(r *run) {
	d, topic := r.driver(), r.topic()
	begin, all := r.filled(d, topic, 20)
	r.h.Trim(r.TB, topic, 8) // 13 to 20 are left
	for _, i := range []int{0, 5, 10} {
		if lost := r.refused(d, topic, all[i].Position, "what follows was trimmed"); lost.Reason != domain.Trimmed {
			r.Errorf("the reason is %q, want %q", lost.Reason, domain.Trimmed)
		}
	}
	r.refused(d, topic, begin, "what follows was trimmed")
	r.inOrder("a reader from what is left", r.follow(d, topic, all[14].Position).take(5), map[int]int{1: 16})

	f := r.followSince(d.(transport.LogDriver), topic, time.Now().Add(-time.Hour))
	r.inOrder("a reader from long ago", f.take(8), map[int]int{1: 13})
	if f.Begin() < all[10].Position || f.Begin() >= all[12].Position {
		r.Errorf("a reader from long ago begins at %x, what is left at %x", string(f.Begin()), string(all[12].Position))
	}

	r.h.Trim(r.TB, topic, 0)
	if at := r.tail(d, topic); at < all[19].Position {
		r.Errorf("the tail of a log that was emptied is %x, before what it held", string(at))
	}
	g := r.follow(d, topic, "")
	r.publish(d, topic, number{1, 21}.message())
	r.inOrder("a reader of a log that was emptied", g.take(1), map[int]int{1: 21})
}

// overtaken checks that a reader is told a gap if entries are trimmed that it has
// not read yet, or else misses nothing.
func overtaken(r *run) {
	const n, keep = 3000, 10
	d, topic := r.driver(), r.topic()
	f := r.follow(d, topic, "")
	for first := 1; first <= n; first += 100 {
		r.publish(d, topic, numbered(1, first, first+99)...)
		if first == 501 {
			r.inOrder("a reader", f.take(1), map[int]int{1: 1})
		}
	}
	r.h.Trim(r.TB, topic, keep)
	at := f.Begin()
	for want := 2; want <= n; want++ {
		e, err := f.next()
		if err != nil {
			r.toldOf(err, d, topic, at)
			return
		}
		r.inOrder("a reader that trimming overtook and that was not told", []domain.Entry{e}, map[int]int{1: want})
		at = e.Position
	}
}

// toldOf checks that a feed has ended with a gap, or else that following after
// the last position does.
func (r *run) toldOf(err error, d transport.Driver, topic string, at domain.Position) {
	r.Helper()
	lost := (*domain.GapError)(nil)
	if !errors.As(err, &lost) {
		lost = r.refused(d, topic, at, "after a feed ended with: "+err.Error())
	}
	if lost.Reason != domain.Trimmed {
		r.Errorf("the reason is %q, want %q", lost.Reason, domain.Trimmed)
	}
}

// recreate checks that readers of a topic that was deleted and created again are
// told a gap, and can then continue.
func recreate(r *run) {
	d, bus, topic := r.driver(), r.bus(), r.topic()
	begin, all := r.filled(d, topic, 5)
	old := r.follow(d, topic, all[4].Position)
	in, _ := r.subscribe(bus.Batches(), topic)
	r.startsWell(r.receive(in))
	r.publish(d, topic, numbered(1, 6, 7)...)
	r.inOrder("a reader", old.take(2), map[int]int{1: 6})
	r.collect(in, func(h *history) bool { return h.last(1) == 7 })

	r.h.Recreate(r.TB, topic)
	fresh := r.follow(d, topic, "")
	r.publish(d, topic, numbered(2, 1, 2)...)
	if e, err := old.next(); !errors.Is(err, errOver) || old.gaveUp {
		r.Errorf("a running feed did not end when its topic was made anew: %q, %v", e.Body, err)
	}
	for _, at := range []domain.Position{all[2].Position, all[4].Position, plus(begin, 1<<20)} {
		r.isAnew(d, topic, at, old.Log())
	}
	r.inOrder("a reader of the new topic", fresh.take(2), map[int]int{2: 1})

	// A subscription is told a gap and then continues. It may miss what is
	// published before it has subscribed again, so more is published each time.
	n := 2
	h := r.collect(in, func(h *history) bool {
		n++
		r.publish(d, topic, number{2, n}.message())
		return h.last(2) >= 3
	})
	if h.gaps == 0 {
		r.Errorf("a subscription went on in a new topic without a gap: %s", h)
	}
}

// isAnew checks that a position of the old log is refused, or that the feed says
// that it reads another log.
func (r *run) isAnew(d transport.Driver, topic string, after domain.Position, old domain.LogID) {
	r.Helper()
	ctx, cancel := r.patient()
	defer cancel()
	f, err := d.Follow(ctx, topic, after)
	lost := (*domain.GapError)(nil)
	switch {
	case err == nil:
		if f.Log() == old {
			r.Errorf("the topic was made anew, but Follow after %x goes on, and the log has the old identity",
				string(after))
		}
		_ = f.Close()
	case !errors.As(err, &lost):
		r.Errorf("the topic was made anew: Follow after %x: want a *GapError, got %v", string(after), err)
	}
}
