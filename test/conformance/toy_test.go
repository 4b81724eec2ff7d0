package conformance_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/conformance"
)

// A toy is a broker in memory that keeps nothing.
type toy struct {
	mu    sync.Mutex
	feeds map[string][]*toyFeed // by topic; guarded by mu
}

// A toyDriver is one connection to it.
type toyDriver struct {
	toy    *toy
	closed atomic.Bool
}

func (d *toyDriver) Guarantees() transport.Guarantees {
	return transport.Guarantees{TotalOrder: true} // no log, at most once, no groups
}

func (d *toyDriver) CheckTopic(topic string) error {
	if topic == "" {
		return domain.ErrInvalid
	}
	return nil
}

func (d *toyDriver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if after != "" {
		return nil, domain.ErrUnsupported
	}
	if err := d.Ping(ctx); err != nil {
		return nil, err
	}
	f := &toyFeed{in: make(chan domain.Entry, 4096), done: make(chan struct{})}
	d.toy.mu.Lock()
	defer d.toy.mu.Unlock()
	d.toy.feeds[topic] = append(d.toy.feeds[topic], f)
	return f, nil // from here on nothing is missed
}

func (d *toyDriver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	if err := d.Ping(ctx); err != nil {
		return slices.Repeat([]error{err}, len(records))
	}
	d.toy.mu.Lock()
	defer d.toy.mu.Unlock()
	for _, o := range records {
		d.toy.feeds[o.Topic] = slices.DeleteFunc(d.toy.feeds[o.Topic], func(f *toyFeed) bool { return !f.offer(o) })
	}
	return nil
}

func (d *toyDriver) Ping(ctx context.Context) error {
	if d.closed.Load() {
		return domain.ErrClosed
	}
	return ctx.Err()
}

func (d *toyDriver) Close() error {
	d.closed.Store(true)
	return nil
}

// A toyFeed has a bounded queue. One that overflows ends, and so becomes a gap.
type toyFeed struct {
	in   chan domain.Entry
	done chan struct{}
	once sync.Once
}

func (*toyFeed) Log() domain.LogID      { return 0 }
func (*toyFeed) Begin() domain.Position { return "" }

// offer copies the message, which is the publisher's; false ends the feed.
func (f *toyFeed) offer(o transport.Outgoing) bool {
	e := domain.Entry{Body: bytes.Clone(o.Message.Payload)}
	if o.Message.Metadata[transport.RawKey] == "" { // an envelope goes bare
		e.UUID = o.Message.UUID
		for name, value := range o.Message.Metadata {
			e.Header = append(e.Header, domain.Field{Name: name, Value: value})
		}
	}
	select {
	case <-f.done:
		return false
	case f.in <- e:
		return true
	default:
		_ = f.Close()
		return false
	}
}

func (f *toyFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	select {
	case e := <-f.in:
		batch := []domain.Entry{e}
		for len(batch) < transport.BatchSize && len(f.in) > 0 {
			batch = append(batch, <-f.in)
		}
		return batch, nil
	case <-f.done:
		return nil, domain.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *toyFeed) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

// And this proves it.
func TestToy(t *testing.T) {
	broker := &toy{feeds: make(map[string][]*toyFeed)}
	conformance.Run(t, conformance.Harness{
		Name: "toy",
		Open: func(testing.TB) transport.Driver { return &toyDriver{toy: broker} },
	})
}
