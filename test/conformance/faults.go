package conformance

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// cut checks that a subscription survives the loss of its connections. What was
// published around that time and confirmed arrives. On a transport without a log
// there may be a gap in its place.
func cut(r *run) {
	defer r.h.Mend()
	bus, pub, topic := r.bus(), r.bus(), r.topic()
	in, _ := r.subscribe(bus.Batches(), topic)
	r.startsWell(r.receive(in))
	a := newAuthor(r, pub, topic)
	h := newHistory()
	for range 3 {
		a.publish(20)
		r.collectInto(in, h, func(h *history) bool { return h.gaps > 0 || a.caughtUp(h) })
		r.h.Cut()
		r.isDown(pub, topic)
		r.h.Mend()
		a.publish(20) // succeeds at once, perhaps before the subscriber is back
		r.collectInto(in, h, a.caughtUp)
	}
	h.check(r, 1, a.last, a.twice)
	if r.claims.Log && h.gaps > 0 {
		r.Errorf("the log was there all the time, but continuity was not proven: %s", h)
	}
	if interrupted := bus.Stats().Interruptions > 0; !interrupted && r.h.HidesCuts {
		r.report.cannot("tell of an interruption: what foreign publishers send meanwhile is lost unnoticed; " +
			"of our own publishers the numbers tell, except of their last messages")
	}
}

// isDown checks that publishing fails with ErrBusDown while nobody can connect.
func (r *run) isDown(bus *transport.Transport, topic string) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := bus.PublishContext(ctx, topic, message.NewMessage("", []byte("nobody hears this")))
	if !errors.Is(err, domain.ErrBusDown) {
		r.Errorf("Publish while nobody can connect: want domain.ErrBusDown, got %v", err)
	}
}

// An author publishes numbers, each again until it is confirmed.
type author struct {
	*run
	bus      *transport.Transport
	topic    string
	last     int
	attempts map[int]int
	next     time.Time // when caughtUp publishes again
	// pause is how long caughtUp waits after that. It doubles each time, since a
	// slow subscriber would otherwise never catch up.
	pause time.Duration
}

func newAuthor(r *run, bus *transport.Transport, topic string) *author {
	return &author{run: r, bus: bus, topic: topic, attempts: make(map[int]int)}
}

func (a *author) publish(n int) {
	a.Helper()
	for range n {
		a.last++
		var err error
		if !a.soon(func() bool { err = a.attempt(a.last); return err == nil }) {
			a.Fatalf("Publish of number %d fails for %v: %v", a.last, a.h.Patience, err)
		}
	}
}

func (a *author) attempt(n int) error {
	a.attempts[n]++
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return a.bus.PublishContext(ctx, a.topic, number{1, n}.message())
}

// twice reports whether a number may have been published more than once.
func (a *author) twice(n int) bool { return a.attempts[n] > 1 }

// caughtUp reports whether the newest number has come. If not, it publishes
// another one now and then, so that a missing number is noticed.
func (a *author) caughtUp(h *history) bool {
	if h.last(1) == a.last {
		return true
	}
	if now := time.Now(); now.After(a.next) {
		a.pause = max(100*time.Millisecond, 2*a.pause)
		a.next = now.Add(a.pause)
		a.publish(1)
	}
	return false
}

// cutFeed checks that a feed ends with its connection, and that with a log one
// can continue exactly where it was.
func cutFeed(r *run) {
	defer r.h.Mend()
	d, topic := r.driver(), r.topic()
	f := r.follow(d, topic, "")
	r.publish(d, topic, numbered(1, 1, 5)...)
	all := f.take(5)
	r.h.Cut()
	r.failsSoon("Ping", d.Ping)
	r.failsSoon("Follow", func(ctx context.Context) error { return r.closesAtOnce(d.Follow(ctx, topic, "")) })
	ended := r.feedEnds(f)
	r.h.Mend()
	r.reopens(d, topic)
	if !r.claims.Log {
		return
	}
	back := f
	if ended {
		back = r.follow(d, topic, all[2].Position)
		r.inOrder("a feed from before the cut", back.take(2), map[int]int{1: 4})
	}
	// The client may notice only now that a connection has ended.
	r.soon(func() bool { return r.try(d, topic, number{1, 6}.message()) == nil })
	r.inOrder("a feed across the cut", back.take(1), map[int]int{1: 6})
}

// failsSoon checks that a call fails once the client has noticed that it is cut
// off.
func (r *run) failsSoon(what string, call func(context.Context) error) {
	r.Helper()
	if !r.soon(func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return call(ctx) != nil
	}) {
		r.Errorf("%s succeeds while nobody can connect", what)
	}
}

// feedEnds reports whether a feed has ended. Without a log it must end by itself,
// unless the harness declares HidesCuts.
func (r *run) feedEnds(f *reader) bool {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), min(r.h.Patience, 3*time.Second))
	defer cancel()
	if r.h.HidesCuts {
		return false
	}
	batch, err := f.read(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		return true
	case len(batch) > 0:
		r.Errorf("%d entries came over a connection that was cut", len(batch))
	case !r.claims.Log:
		r.Errorf("the feed does not end with its connection: " +
			"what is lost meanwhile is lost silently (or declare HidesCuts)")
	}
	return true // read has closed it
}

// reopens checks that Follow and Ping succeed again in time.
func (r *run) reopens(d transport.Driver, topic string) {
	r.Helper()
	var err error
	ok := r.soon(func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		var f transport.Feed
		if f, err = d.Follow(ctx, topic, ""); err == nil {
			_ = f.Close()
			err = d.Ping(ctx)
		}
		return err == nil
	})
	if !ok {
		r.Fatalf("the broker is back, but not for this driver: %v", err)
	}
}

// slack is how much longer than its deadline a call may take, since machines may
// be busy.
const slack = 2 * time.Second

// freeze checks that calls obey their deadlines when the broker does not answer
// any more, and that nothing was lost silently when it is back.
func freeze(r *run) {
	thaw := func() { r.h.Thaw() }
	defer func() { thaw() }()
	d, bus, topic := r.driver(), r.bus(), r.topic()
	hasty := transport.New(r.h.Open(r.TB), transport.Config{PublishTimeout: 300 * time.Millisecond})
	r.closeLater("a Transport", hasty.Close)
	in, _ := r.subscribe(bus.Batches(), topic)
	r.startsWell(r.receive(in))
	a := newAuthor(r, hasty, topic)
	a.publish(5)
	h := r.collect(in, func(h *history) bool { return h.last(1) == 5 })

	r.h.Freeze()
	kept := message.NewMessage("", []byte("#################"))
	kept.Metadata.Set(transport.RawKey, "1")
	const bound = 300 * time.Millisecond
	for what, call := range map[string]func(context.Context) error{
		"Transport.Publish": func(context.Context) error { return hasty.Publish(topic, number{3, 1}.message()) },
		"Driver.Publish":    func(ctx context.Context) error { return errors.Join(d.Publish(ctx, on(topic, kept))...) },
		"Follow":            func(ctx context.Context) error { return r.closesAtOnce(d.Follow(ctx, topic, "")) },
		"Ping":              func(ctx context.Context) error { return d.Ping(ctx) },
	} {
		r.bounded(what, bound, call)
	}
	copy(kept.Payload, "nobody said this.")
	r.h.Thaw()
	thaw = func() {}
	r.reopens(d, topic)
	a.publish(5)
	r.collectInto(in, h, a.caughtUp)
	h.check(r, 1, a.last, a.twice)
	if r.claims.Log && h.gaps > 0 {
		r.Errorf("the log was there all the time, but continuity was not proven: %s", h)
	}
	if slices.Contains(h.other, string(kept.Payload)) {
		r.Errorf("a message that was changed after Publish had returned was sent as it is now")
	}
}

// closeFrozen checks that a driver can be closed when the broker does not answer
// any more.
func closeFrozen(r *run) {
	defer func() { r.h.Thaw() }()
	d, bus, topic := r.driver(), r.bus(), r.topic()
	in, _ := r.subscribe(bus, topic)
	f := r.follow(d, topic, "")
	r.publish(d, topic, number{1, 1}.message())
	f.take(1)
	r.receive(in).Ack()
	r.h.Freeze()
	start := time.Now()
	r.closes("a feed whose broker is frozen", f.Close)
	r.closes("a driver whose broker is frozen", d.Close)
	r.closes("a Transport whose broker is frozen", bus.Close)
	if took := time.Since(start); took > 5*time.Second {
		r.Errorf("closing what has a frozen broker took %v", took)
	}
	r.ends(in, "after Close")
}

func (r *run) closesAtOnce(f transport.Feed, err error) error {
	if err == nil {
		_ = f.Close()
	}
	return err
}

// bounded checks that a call fails within d.
func (r *run) bounded(what string, d time.Duration, call func(context.Context) error) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	start, done := time.Now(), make(chan error, 1)
	go func() { done <- call(ctx) }()
	select {
	case err := <-done:
		if err == nil {
			r.Errorf("%s succeeds though the broker answers nobody", what)
		}
		if took := time.Since(start); took > d+slack {
			r.Errorf("%s took %v, and had %v", what, took, d)
		}
	case <-time.After(d + slack):
		r.Errorf("%s does not return, and had %v", what, d)
	}
}
