package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A mutant is a sound driver with one fault: each function that is set replaces a
// method of the driver.
type mutant struct {
	*wireDriver
	guarantees func(transport.Guarantees) transport.Guarantees
	follow     func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error)
	since      func(ctx context.Context, topic string, t time.Time) (transport.Feed, error)
	tail       func(ctx context.Context, topic string) (domain.Position, error)
	back       func(ctx context.Context, topic string, upTo domain.Position, n int) (domain.Position, bool, error)
	publish    func(ctx context.Context, records []transport.Outgoing) []error
	read       func(f *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error)
	group      func(name string) (message.Subscriber, error)
	close      func() error
}

func (m *mutant) Guarantees() transport.Guarantees {
	g := m.wireDriver.Guarantees()
	if m.guarantees != nil {
		g = m.guarantees(g)
	}
	return g
}

func (m *mutant) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if m.follow != nil {
		return m.wrap(m.follow(ctx, topic, after))
	}
	return m.wrap(m.wireDriver.Follow(ctx, topic, after))
}

func (m *mutant) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	if m.since != nil {
		return m.wrap(m.since(ctx, topic, t))
	}
	return m.wrap(m.wireDriver.FollowSince(ctx, topic, t))
}

func (m *mutant) Tail(ctx context.Context, topic string) (domain.Position, error) {
	if m.tail != nil {
		return m.tail(ctx, topic)
	}
	return m.wireDriver.Tail(ctx, topic)
}

func (m *mutant) Back(ctx context.Context, topic string, upTo domain.Position, n int) (domain.Position, bool, error) {
	if m.back != nil {
		return m.back(ctx, topic, upTo, n)
	}
	return m.wireDriver.Back(ctx, topic, upTo, n)
}

func (m *mutant) Publish(ctx context.Context, records []transport.Outgoing) []error {
	if m.publish != nil {
		return m.publish(ctx, records)
	}
	return m.wireDriver.Publish(ctx, records)
}

func (m *mutant) Group(name string) (message.Subscriber, error) {
	if m.group != nil {
		return m.group(name)
	}
	return m.wireDriver.Group(name)
}

func (m *mutant) Close() error {
	if m.close != nil {
		return m.close()
	}
	return m.wireDriver.Close()
}

func (m *mutant) wrap(f transport.Feed, err error) (transport.Feed, error) {
	if err != nil || m.read == nil {
		return f, err
	}
	return &mutantFeed{Feed: f, m: m}, nil
}

// A mutantFeed gives what is read to its mutant first.
type mutantFeed struct {
	transport.Feed
	m     *mutant
	reads int
	held  []domain.Entry
}

func (f *mutantFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	if f.reads++; len(f.held) > 0 {
		batch := f.held
		f.held = nil
		return batch, nil
	}
	batch, err := f.Feed.Read(ctx)
	return f.m.read(f, batch, err)
}

// A placed feed claims another beginning, or another log, than its own.
type placed struct {
	transport.Feed
	begin domain.Position
	log   domain.LogID
}

func (p placed) Begin() domain.Position { return p.begin }
func (p placed) Log() domain.LogID      { return p.log }

func broken(err error) bool {
	lost := (*domain.GapError)(nil)
	return errors.As(err, &lost)
}

// before returns the position before a position.
func before(p domain.Position) domain.Position {
	b := []byte(p)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]--; b[i] != 0xff {
			return domain.Position(b)
		}
	}
	return p
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// apart counts the drivers of the mutation that tells its readers apart.
var apart atomic.Int64

// sortedByPublisher waits for all that the case of the total order publishes, and gives out
// what the last publisher has published first.
func sortedByPublisher(f *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
	const all = 4 * 200
	for err == nil && len(batch) < all {
		var more []domain.Entry
		more, err = f.Feed.Read(context.Background()) // Close ends it
		batch = append(batch, more...)
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(batch, func(a, b domain.Entry) int { return strings.Compare(string(b.Body[:15]), string(a.Body[:15])) })
	return replace(batch), nil
}

// replace gives a batch whose entries were reordered ascending positions again.
func replace(batch []domain.Entry) []domain.Entry {
	var at []domain.Position
	for i := range batch {
		at = append(at, batch[i].Position)
	}
	slices.Sort(at)
	for i := range batch {
		batch[i].Position, batch[i].Time = at[i], batch[0].Time
	}
	return batch
}

// A claiming driver claims guarantees that it does not have.
type claiming struct {
	transport.Driver
	claims transport.Guarantees
}

func (c claiming) Guarantees() transport.Guarantees { return c.claims }

// A lateFeed begins when it is first read.
type lateFeed struct {
	transport.Feed
	d     *wireDriver
	topic string
	begun bool
}

func (f *lateFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	if !f.begun {
		f.begun = true
		late, err := f.d.Follow(ctx, f.topic, "")
		if err != nil {
			return nil, err
		}
		_ = f.Feed.Close()
		f.Feed = late
	}
	return f.Feed.Read(ctx)
}

// A reopening feed continues at the oldest entry when its position was trimmed.
type reopening struct {
	transport.Feed
	d     *wireDriver
	topic string
}

func (f *reopening) Read(ctx context.Context) ([]domain.Entry, error) {
	batch, err := f.Feed.Read(ctx)
	if !broken(err) {
		return batch, err
	}
	next, err := f.d.FollowSince(ctx, f.topic, time.Time{})
	if err != nil {
		return nil, err
	}
	_ = f.Feed.Close()
	f.Feed = next
	return f.Feed.Read(ctx)
}

// A silent driver's feeds reconnect by themselves.
type silent struct{ lossyDriver }

func (s silent) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	f, err := s.lossyDriver.Follow(ctx, topic, after)
	if err != nil {
		return nil, err
	}
	return &reconnecting{Feed: f, s: s, topic: topic}, nil
}

type reconnecting struct {
	s     silent
	topic string

	mu sync.Mutex
	transport.Feed
	closed bool
}

func (f *reconnecting) Read(ctx context.Context) ([]domain.Entry, error) {
	for {
		f.mu.Lock()
		feed, closed := f.Feed, f.closed
		f.mu.Unlock()
		if closed {
			return nil, domain.ErrClosed
		}
		batch, err := feed.Read(ctx)
		if err == nil || ctx.Err() != nil {
			return batch, err
		}
		pause(ctx, 20*time.Millisecond)
		next, err := f.s.lossyDriver.Follow(ctx, f.topic, "")
		if err != nil {
			continue
		}
		f.mu.Lock()
		if _ = f.Feed.Close(); f.closed {
			_ = next.Close()
		}
		f.Feed = next
		f.mu.Unlock()
	}
}

func (f *reconnecting) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return f.Feed.Close()
}

// A framing driver makes a UUID for each message that has none.
type framing struct{ transport.Driver }

func (f framing) Publish(ctx context.Context, records []transport.Outgoing) []error {
	framed := slices.Clone(records)
	for i, o := range records {
		framed[i].Message = o.Message.Copy()
		framed[i].Message.UUID = fmt.Sprint("made up ", i)
	}
	return f.Driver.Publish(ctx, framed)
}

// A stubborn feed's Read does not end before the test does.
type stubborn struct {
	transport.Feed
	over <-chan struct{}
}

func (s stubborn) Read(ctx context.Context) ([]domain.Entry, error) {
	batch, err := s.Feed.Read(ctx)
	if err != nil {
		<-s.over
	}
	return batch, err
}

// A well driver says that its broker is there even if it is not.
type well struct{ *mutant }

func (well) Ping(context.Context) error { return nil }
