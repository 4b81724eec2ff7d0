package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A broker is a memory bus that can be made to fail. It writes down what it
// has carried, in its order.
type broker struct {
	cfg   memory.Config
	lossy bool // keeps no log, and loses now and then

	mu    sync.Mutex
	bus   *memory.Bus
	rnd   *rand.Rand
	down  bool
	loses bool                // whether there is any loss, ever
	loss  float64             // of what a lossy broker gives to a subscriber
	late  time.Duration       // most that an answer takes
	step  time.Duration       // of the log's clock
	wire  map[string][][]byte // topic: payloads, as they were taken
	feeds map[*feed]struct{}

	happened []string // for the trace
}

var errDown = errors.New("the broker is down")

func newBroker(rnd *rand.Rand, cfg memory.Config, lossy bool) *broker {
	return &broker{
		cfg: cfg, lossy: lossy, bus: memory.New(cfg), rnd: rnd,
		wire: make(map[string][][]byte), feeds: make(map[*feed]struct{}),
	}
}

// set changes how the broker behaves.
func (b *broker) set(change func(b *broker)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

// interrupt ends every feed; forget makes the logs anew, empty, as a broker does
// that keeps nothing on disk.
func (b *broker) interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut()
}

func (b *broker) cut() {
	for f := range b.feeds {
		f.cancel()
	}
}

func (b *broker) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.bus
	b.bus = memory.New(b.cfg)
	b.cut()
	old.Close()
}

// carried returns what a topic has carried so far.
func (b *broker) carried(topic string) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wire[topic]
}

// pause takes as long as an answer takes.
func (b *broker) pause(ctx context.Context) error {
	b.mu.Lock()
	d := time.Duration(0)
	if b.late > 0 {
		d = time.Duration(b.rnd.Int64N(int64(b.late)))
	}
	down := b.down
	b.mu.Unlock()
	if down {
		return errDown
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// driver returns one node's connection to the broker.
func (b *broker) driver() transport.Driver {
	if b.lossy {
		return lossyDriver{&driver{b}, make(map[string]bool)}
	}
	return &driver{b}
}

// A driver is a transport.Driver with a log.
type driver struct{ b *broker }

func (d *driver) Guarantees() transport.Guarantees { return d.b.bus.Guarantees() }
func (d *driver) CheckTopic(topic string) error    { return nil }
func (d *driver) Close() error                     { return nil }
func (d *driver) Ping(ctx context.Context) error   { return d.b.pause(ctx) }

func (d *driver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	return d.open(ctx, func(bus *memory.Bus) (transport.Feed, error) { return bus.Follow(ctx, topic, after) })
}

func (d *driver) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	return d.open(ctx, func(bus *memory.Bus) (transport.Feed, error) { return bus.FollowSince(ctx, topic, t.Add(-d.b.step)) })
}

func (d *driver) Tail(ctx context.Context, topic string) (domain.Position, error) {
	if err := d.b.pause(ctx); err != nil {
		return "", err
	}
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	return d.b.bus.Tail(ctx, topic)
}

func (d *driver) open(ctx context.Context, follow func(*memory.Bus) (transport.Feed, error)) (transport.Feed, error) {
	if err := d.b.pause(ctx); err != nil {
		return nil, err
	}
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	inner, err := follow(d.b.bus)
	if err != nil {
		return nil, err
	}
	f := &feed{Feed: inner, b: d.b}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	d.b.feeds[f] = struct{}{}
	return f, nil
}

// Publish takes all or nothing; now and then it takes all and says nothing.
func (d *driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	if err := d.b.pause(ctx); err != nil {
		return all(len(records), err)
	}
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	if errs := d.b.bus.Publish(ctx, records); errs != nil {
		return errs
	}
	for _, r := range records {
		d.b.wire[r.Topic] = append(d.b.wire[r.Topic], append([]byte(nil), r.Message.Payload...))
	}
	silent := 50
	if d.b.lossy {
		silent = 10 // so that nodes hear different ones of a message's copies
	}
	if d.b.rnd.IntN(silent) == 0 {
		return all(len(records), errors.New("the answer was lost"))
	}
	return nil
}

func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// A lossyDriver is one without a log. It loses nothing of a publisher before
// its node has heard of it: what is lost then nobody can notice.
type lossyDriver struct {
	d     *driver
	heard map[string]bool // publishers, by topic and the head of their stamps; guarded by broker.mu
}

func (l lossyDriver) Guarantees() transport.Guarantees { return transport.Guarantees{TotalOrder: true} }
func (l lossyDriver) CheckTopic(topic string) error    { return nil }
func (l lossyDriver) Close() error                     { return nil }
func (l lossyDriver) Ping(ctx context.Context) error   { return l.d.Ping(ctx) }
func (l lossyDriver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	return l.d.Publish(ctx, records)
}

func (l lossyDriver) Follow(ctx context.Context, topic string, _ domain.Position) (transport.Feed, error) {
	f, err := l.d.Follow(ctx, topic, "")
	if err != nil {
		return nil, err
	}
	return lossyFeed{f, topic, l.heard}, nil
}

// A feed ends when the broker says so.
type feed struct {
	transport.Feed
	b      *broker
	ctx    context.Context
	cancel context.CancelFunc
}

func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.ctx, cancel)()
	if f.ctx.Err() != nil {
		return nil, errDown
	}
	batch, err := f.Feed.Read(ctx)
	if err != nil {
		return nil, err
	}
	f.b.mu.Lock()
	late, step := f.b.late, f.b.step
	f.b.mu.Unlock()
	for i := range batch {
		batch[i].Time = batch[i].Time.Add(step)
	}
	if late > 0 {
		_ = f.b.pause(ctx)
	}
	return batch, nil
}

func (f *feed) Close() error {
	f.cancel()
	f.b.mu.Lock()
	delete(f.b.feeds, f)
	f.b.mu.Unlock()
	return f.Feed.Close()
}

// A lossyFeed gives no places, and loses some of what is stamped: what foreign
// publishers send is lost only when a feed is interrupted.
type lossyFeed struct {
	transport.Feed
	topic string
	heard map[string]bool
}

func (lossyFeed) Log() domain.LogID      { return 0 }
func (lossyFeed) Begin() domain.Position { return "" }

func (l lossyFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	b := l.Feed.(*feed).b
	for {
		batch, err := l.Feed.Read(ctx)
		if err != nil {
			return nil, err
		}
		kept := batch[:0]
		b.mu.Lock()
		for _, e := range batch {
			if who, _, stamped := strings.Cut(string(e.Body), ":"); stamped && strings.HasPrefix(who, `{"stamp"`) {
				who, _, _ = strings.Cut(string(e.Body[len(who)+1:]), ":")
				if l.heard[l.topic+who] && b.rnd.Float64() < b.loss {
					continue
				}
				l.heard[l.topic+who] = true
			}
			e.Position, e.Time, e.UUID, e.Header = "", time.Time{}, "", nil
			kept = append(kept, e)
		}
		b.mu.Unlock()
		if len(kept) > 0 {
			return kept, nil
		}
	}
}
