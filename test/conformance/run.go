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

// A run is one case under way. It closes what it opens.
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
	what  string
	close func() error
}

func newRun(t testing.TB, h Harness, report *Report) *run {
	r := &run{TB: t, h: h, claims: report.Claims, report: report}
	r.leaks = append(r.leaks, goleak.IgnoreCurrent())
	for _, name := range h.Goroutines {
		r.leaks = append(r.leaks, goleak.IgnoreAnyFunction(name))
	}
	return r
}

// finish closes what is open, the newest first, and looks for goroutines.
func (r *run) finish() {
	r.mu.Lock()
	closers := r.closers
	r.closers = nil
	r.mu.Unlock()
	for i := len(closers) - 1; i >= 0; i-- {
		r.closes(closers[i].what, closers[i].close)
	}
	r.leavesNoGoroutine()
}

// closes wants that close returns in time, and nil.
func (r *run) closes(what string, close func() error) {
	r.Helper()
	done := make(chan error, 1)
	go func() { done <- close() }()
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

func (r *run) closeLater(what string, close func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closers = append(r.closers, closer{what, close})
}

// soon polls until it is so, and says whether that was in time.
func (r *run) soon(is func() bool) bool {
	end := time.Now().Add(r.h.Patience)
	for wait := time.Millisecond; !is(); wait = min(2*wait, 50*time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
		pause(wait)
	}
	return true
}

func pause(d time.Duration) { <-time.After(d) }

// patient returns a context in which what must happen has time to.
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
		PublishTimeout: r.h.Patience, FollowTimeout: r.h.Patience, RetryMin: 10 * time.Millisecond, RetryMax: 200 * time.Millisecond,
	})
	r.closeLater("a Transport", b.Close)
	return b
}

// A reader reads a feed, each wait bounded.
type reader struct {
	*run
	transport.Feed
	left   []domain.Entry // read and not taken
	gaveUp bool           // nothing came in time
}

// follow opens a feed after a position and wants it to succeed.
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

// read reads once, for as long as ctx lasts: not every Read watches it.
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

// refused wants that Follow after a position is a break.
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

// publish publishes through a driver and wants it to succeed.
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

// subscribe subscribes until the case is over or cancel is called.
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

// receive returns the next message, unsettled.
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

// ends wants that a subscription's channel is closed in time.
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

// hears reads batches until it is enough, which is asked again and again.
func (r *run) hears(in <-chan *message.Message, enough func(*history) bool) *history {
	r.Helper()
	h := newHistory()
	r.hearsOn(in, h, enough)
	return h
}

func (r *run) hearsOn(in <-chan *message.Message, h *history, enough func(*history) bool) {
	r.Helper()
	late := time.After(r.h.Patience)
	for !enough(h) {
		select {
		case m, ok := <-in:
			if !ok {
				r.Fatalf("the subscription ended by itself: %s", h)
			}
			h.hear(m)
			m.Ack()
		case <-time.After(20 * time.Millisecond):
		case <-late:
			r.Fatalf("it did not happen within %v: %s", r.h.Patience, h)
		}
	}
}
