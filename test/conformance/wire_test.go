package conformance_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/conformance"
)

// A wire is a memory bus that behaves like a broker on another machine: connections
// to it can be cut and frozen.
type wire struct {
	bus    *memory.Bus
	over   chan struct{} // closed by who is done with mutants
	shared sync.Map      // for a mutant

	mu     sync.Mutex
	isCut  bool                   // guarded by mu
	feeds  map[*wireFeed]struct{} // guarded by mu
	thawed chan struct{}          // closed while the wire is not frozen; guarded by mu
	hears  chan struct{}          // closed while feeds are not deaf; guarded by mu
}

var errCut = errors.New("connection refused")

func newWire() *wire {
	w := &wire{bus: memory.New(memory.Config{}), feeds: make(map[*wireFeed]struct{}), over: make(chan struct{}), thawed: make(chan struct{}), hears: make(chan struct{})}
	close(w.thawed)
	close(w.hears)
	return w
}

// harness gives the suite drivers of the wire, each as break makes it.
func (w *wire) harness(open func(*wireDriver) transport.Driver) conformance.Harness {
	return conformance.Harness{
		Name: "wire",
		Open: func(testing.TB) transport.Driver { return open(&wireDriver{Driver: w.bus.Driver(), w: w}) },
		Cut:  w.cut, Mend: w.mend,
		Freeze: w.freeze, Thaw: w.thaw, Deafen: w.deafen,
		Trim:     func(_ testing.TB, topic string, keep int) { w.bus.Forget(topic, keep) },
		Recreate: func(_ testing.TB, topic string) { w.bus.Renew(topic) },
		Poison: func(_ testing.TB, topic string) {
			m := message.NewMessage("", []byte("poison"))
			_ = w.bus.Publish(context.Background(), []transport.Outgoing{{Topic: topic, Message: m}})
		},
	}
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for f := range w.feeds {
		f.cancel()
	}
}

// drop ends all feeds.
func (w *wire) drop() {
	w.cut()
	w.mend()
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
}

func (w *wire) freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.thawed = make(chan struct{})
}

func (w *wire) deafen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hears = make(chan struct{})
}

func (w *wire) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, waits := range []chan struct{}{w.thawed, w.hears} {
		select {
		case <-waits:
		default:
			close(waits)
		}
	}
}

// hear waits until feeds are not deaf.
func (w *wire) hear(ctx context.Context) error {
	w.mu.Lock()
	hears := w.hears
	w.mu.Unlock()
	select {
	case <-hears:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pass waits while the wire is frozen. It returns an error if the wire is cut.
func (w *wire) pass(ctx context.Context) error {
	w.mu.Lock()
	isCut, thawed := w.isCut, w.thawed
	w.mu.Unlock()
	if isCut {
		return errCut
	}
	select {
	case <-thawed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A wireDriver is a driver on one connection to the wire.
type wireDriver struct {
	transport.Driver
	w *wire
}

func (d *wireDriver) log() transport.LogDriver { return d.Driver.(transport.LogDriver) }

func (d *wireDriver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	return d.open(ctx, func() (transport.Feed, error) { return d.Driver.Follow(ctx, topic, after) })
}

func (d *wireDriver) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	return d.open(ctx, func() (transport.Feed, error) { return d.log().FollowSince(ctx, topic, t) })
}

func (d *wireDriver) open(ctx context.Context, follow func() (transport.Feed, error)) (transport.Feed, error) {
	if err := errors.Join(d.w.pass(ctx), d.w.hear(ctx)); err != nil {
		return nil, err
	}
	inner, err := follow()
	if err != nil {
		return nil, err
	}
	f := &wireFeed{Feed: inner, w: d.w}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.w.feeds[f] = struct{}{}
	return f, nil
}

func (d *wireDriver) Tail(ctx context.Context, topic string) (domain.Position, error) {
	if err := d.w.pass(ctx); err != nil {
		return "", err
	}
	return d.log().Tail(ctx, topic)
}

func (d *wireDriver) Back(ctx context.Context, topic string, upTo domain.Position, n int) (domain.Position, bool, error) {
	if err := d.w.pass(ctx); err != nil {
		return "", false, err
	}
	return d.Driver.(transport.Rewinder).Back(ctx, topic, upTo, n)
}

func (d *wireDriver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	if err := d.w.pass(ctx); err != nil {
		return all(len(records), err)
	}
	return d.Driver.Publish(ctx, records)
}

func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (d *wireDriver) Group(name string) (message.Subscriber, error) {
	return d.Driver.(transport.GroupDriver).Group(name)
}

func (d *wireDriver) Ping(ctx context.Context) error {
	if err := d.w.pass(ctx); err != nil {
		return err
	}
	return d.Driver.Ping(ctx)
}

// A wireFeed ends when the wire is cut.
type wireFeed struct {
	transport.Feed
	w      *wire
	ctx    context.Context
	cancel context.CancelFunc
}

func (f *wireFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.ctx, cancel)()
	if f.ctx.Err() != nil {
		return nil, errCut
	}
	batch, err := f.Feed.Read(ctx)
	if err == nil {
		err = f.w.hear(ctx)
	}
	return batch, err
}

func (f *wireFeed) Close() error {
	f.cancel()
	f.w.mu.Lock()
	delete(f.w.feeds, f)
	f.w.mu.Unlock()
	return f.Feed.Close()
}

// A lossyDriver is a wire's without its log.
type lossyDriver struct{ d *wireDriver }

func (l lossyDriver) Guarantees() transport.Guarantees { return transport.Guarantees{TotalOrder: true} }
func (l lossyDriver) CheckTopic(topic string) error    { return l.d.CheckTopic(topic) }
func (l lossyDriver) Ping(ctx context.Context) error   { return l.d.Ping(ctx) }
func (l lossyDriver) Close() error                     { return l.d.Close() }

// Publish sends raw messages without framing.
func (l lossyDriver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	bare := slices.Clone(records)
	for i, o := range records {
		if o.Message.Metadata[transport.RawKey] != "" {
			bare[i].Message = message.NewMessage("", o.Message.Payload)
		}
	}
	return l.d.Publish(ctx, bare)
}

func (l lossyDriver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if after != "" {
		return nil, domain.ErrUnsupported
	}
	f, err := l.d.Follow(ctx, topic, "")
	if err != nil {
		return nil, err
	}
	return lossyFeed{f}, nil
}

type lossyFeed struct{ transport.Feed }

func (lossyFeed) Log() domain.LogID      { return 0 }
func (lossyFeed) Begin() domain.Position { return "" }

func (l lossyFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	batch, err := l.Feed.Read(ctx)
	for i := range batch {
		e := &batch[i]
		e.Position, e.Time = "", time.Time{}
	}
	return batch, err
}
