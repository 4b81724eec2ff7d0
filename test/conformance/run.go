package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A run is one execution of a case. It closes what the case has opened.
type run struct {
	testing.TB
	h      Harness
	claims transport.Guarantees
	report *Report
	leaks  []goleak.Option

	mu      sync.Mutex
	closers []closer // guarded by mu
}

type closer struct {
	what string
	call func() error
}

func newRun(t testing.TB, h Harness, report *Report) *run {
	r := &run{TB: t, h: h, claims: report.Claims, report: report}
	r.leaks = append(r.leaks, goleak.IgnoreCurrent())
	for _, name := range h.Goroutines {
		r.leaks = append(r.leaks, goleak.IgnoreAnyFunction(name))
	}
	return r
}

// finish closes everything that the case has opened, the newest first, and checks
// that no goroutines are left.
func (r *run) finish() {
	r.mu.Lock()
	closers := r.closers
	r.closers = nil
	r.mu.Unlock()
	for i := len(closers) - 1; i >= 0; i-- {
		r.closes(closers[i].what, closers[i].call)
	}
	r.leavesNoGoroutine()
}

// closes calls a Close method, which must return nil in time.
func (r *run) closes(what string, call func() error) {
	r.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		if err != nil {
			r.Errorf("closing %s: %v", what, err)
		}
	case <-time.After(r.h.Patience):
		r.Errorf("closing %s does not end within %v", what, r.h.Patience)
	}
}

func (r *run) leavesNoGoroutine() {
	r.Helper()
	var err error
	if !r.soon(func() bool { err = goleak.Find(r.leaks...); return err == nil }) {
		r.Errorf("goroutines are left behind: %v", err)
	}
}

func (r *run) closeLater(what string, call func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closers = append(r.closers, closer{what, call})
}

// soon polls until the condition holds, and reports whether it did in time.
func (r *run) soon(condition func() bool) bool {
	end := time.Now().Add(r.h.Patience)
	for wait := time.Millisecond; !condition(); wait = min(2*wait, 50*time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
		pause(wait)
	}
	return true
}

func pause(d time.Duration) { <-time.After(d) }

// patient returns a context that ends after the harness's Patience.
func (r *run) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), r.h.Patience)
}

func (r *run) topic() string { return r.h.Topic(r.TB) }

func (r *run) driver() transport.Driver {
	r.Helper()
	d := r.h.Open(r.TB)
	r.closeLater("a driver", d.Close)
	return d
}

// bus returns a Transport over a driver of its own.
func (r *run) bus() *transport.Transport {
	r.Helper()
	return r.busOver(r.h.Open(r.TB))
}

func (r *run) busOver(d transport.Driver) *transport.Transport {
	b := transport.New(d, transport.Config{
		PublishTimeout: r.h.Patience, FollowTimeout: r.h.Patience,
		RetryMin: 10 * time.Millisecond, RetryMax: 200 * time.Millisecond,
	})
	r.closeLater("a Transport", b.Close)
	return b
}

// A reader reads a feed, and waits for each entry only so long.
type reader struct {
	*run
	transport.Feed
	left   []domain.Entry // read from the feed, but not returned by next yet
	gaveUp bool           // nothing came in time
}

// follow opens a feed after a position, which must succeed.
func (r *run) follow(d transport.Driver, topic string, after domain.Position) *reader {
	r.Helper()
	ctx, cancel := r.patient()
	defer cancel()
	f, err := d.Follow(ctx, topic, after)
	if err != nil || f == nil {
		r.Fatalf("Follow after %x: %v", string(after), err)
	}
	return r.reads(f)
}

func (r *run) reads(f transport.Feed) *reader {
	r.closeLater("a feed", f.Close)
	return &reader{run: r, Feed: f}
}

// read calls Read once. When ctx ends it closes the feed, since not every Read
// obeys its context.
func (f *reader) read(ctx context.Context) ([]domain.Entry, error) {
	f.Helper()
	defer context.AfterFunc(ctx, func() { _ = f.Close() })()
	batch, err := f.Read(ctx)
	if err == nil && (len(batch) == 0 || len(batch) > transport.BatchSize) {
		f.Errorf("a Read returned %d entries; want 1 to %d", len(batch), transport.BatchSize)
	}
	for i := range batch {
		if batch[i].Kind != domain.Record {
			f.Errorf("a feed returned an entry of kind %d: only the Transport makes those", batch[i].Kind)
		}
	}
	return batch, err
}

// next returns the next entry.
func (f *reader) next() (domain.Entry, error) {
	f.Helper()
	if len(f.left) == 0 {
		ctx, cancel := f.patient()
		defer cancel()
		batch, err := f.read(ctx)
		if len(batch) == 0 {
			if f.gaveUp = ctx.Err() != nil; f.gaveUp {
				err = fmt.Errorf("nothing came within %v (%v)", f.h.Patience, err)
			}
			return domain.Entry{}, errors.Join(errOver, err)
		}
		f.left = batch
	}
	e := f.left[0]
	f.left = f.left[1:]
	return e, nil
}

var errOver = errors.New("the feed is over")

// take returns the next n entries.
func (f *reader) take(n int) []domain.Entry {
	f.Helper()
	all := make([]domain.Entry, 0, n)
	for len(all) < n {
		e, err := f.next()
		if err != nil {
			f.Fatalf("after %d of %d entries: %v", len(all), n, err)
		}
		all = append(all, e)
	}
	return all
}

// refused calls Follow with a position, which must be refused with a gap.
func (r *run) refused(d transport.Driver, topic string, after domain.Position, why string) *domain.GapError {
	r.Helper()
	ctx, cancel := r.patient()
	defer cancel()
	f, err := d.Follow(ctx, topic, after)
	if f != nil && err == nil {
		_ = f.Close()
	}
	lost := (*domain.GapError)(nil)
	if !errors.As(err, &lost) {
		r.Errorf("%s: Follow after %x: want a *GapError, got %v", why, string(after), err)
		return &domain.GapError{}
	}
	return lost
}

// publish publishes through a driver, which must succeed.
func (r *run) publish(d transport.Driver, topic string, msgs ...*message.Message) {
	r.Helper()
	if err := r.try(d, topic, msgs...); err != nil {
		r.Fatalf("Publish: %v", err)
	}
}

func (r *run) try(d transport.Driver, topic string, msgs ...*message.Message) error {
	ctx, cancel := r.patient()
	defer cancel()
	return errors.Join(d.Publish(ctx, on(topic, msgs...))...)
}

func on(topic string, msgs ...*message.Message) []transport.Outgoing {
	records := make([]transport.Outgoing, len(msgs))
	for i, m := range msgs {
		records[i] = transport.Outgoing{Topic: topic, Message: m}
	}
	return records
}

// subscribe subscribes until the case ends or the returned function is called.
func (r *run) subscribe(s message.Subscriber, topic string) (<-chan *message.Message, context.CancelFunc) {
	r.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.closeLater("a subscription", func() error { cancel(); return nil })
	in, err := s.Subscribe(ctx, topic)
	if err != nil {
		r.Fatalf("Subscribe: %v", err)
	}
	return in, cancel
}

// receive returns the next message, which the caller must ack or nack.
func (r *run) receive(in <-chan *message.Message) *message.Message {
	r.Helper()
	return r.receiveFrom(in, nil)
}

// receiveFrom returns the next message of either subscription.
func (r *run) receiveFrom(one, other <-chan *message.Message) (m *message.Message) {
	r.Helper()
	ok := false
	select {
	case m, ok = <-one:
	case m, ok = <-other:
	case <-time.After(r.h.Patience):
		r.Fatalf("nothing came within %v", r.h.Patience)
	}
	if !ok {
		r.Fatalf("the subscription ended by itself")
	}
	return m
}

// ends checks that a subscription's channel is closed in time.
func (r *run) ends(in <-chan *message.Message, why string) {
	r.Helper()
	late := time.After(r.h.Patience)
	for {
		select {
		case m, ok := <-in:
			if !ok {
				return
			}
			m.Nack()
		case <-late:
			r.Errorf("%s: the channel is open after %v", why, r.h.Patience)
			return
		}
	}
}

// collect reads batches until enough returns true. It calls enough again and
// again, also while nothing comes.
func (r *run) collect(in <-chan *message.Message, enough func(*history) bool) *history {
	r.Helper()
	h := newHistory()
	r.collectInto(in, h, enough)
	return h
}

// collectInto does what collect does, and adds to an existing history.
func (r *run) collectInto(in <-chan *message.Message, h *history, enough func(*history) bool) {
	r.Helper()
	late := time.After(r.h.Patience)
	for !enough(h) {
		select {
		case m, ok := <-in:
			if !ok {
				r.Fatalf("the subscription ended by itself: %s", h)
			}
			h.record(m)
			m.Ack()
		case <-time.After(20 * time.Millisecond):
		case <-late:
			r.Fatalf("it did not happen within %v: %s", r.h.Patience, h)
		}
	}
}
