package transport_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const topic = "orders"

var (
	errNet   = errors.New("connection reset")
	errEmpty = errors.New("empty topic")
)

// A fakeDriver does what its test says. Unset functions do the least.
type fakeDriver struct {
	guarantees transport.Guarantees
	follow     func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error)
	publish    func(ctx context.Context, records []transport.Outgoing) []error
	ping       func(ctx context.Context) error
	trim       func(ctx context.Context, topic string) error

	mu     sync.Mutex
	after  []domain.Position // what Follow was asked for
	closed int
}

func (d *fakeDriver) Guarantees() transport.Guarantees { return d.guarantees }

func (d *fakeDriver) CheckTopic(topic string) error {
	if topic == "" {
		return errEmpty
	}
	return nil
}

func (d *fakeDriver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	d.mu.Lock()
	d.after = append(d.after, after)
	d.mu.Unlock()
	return d.follow(ctx, topic, after)
}

func (d *fakeDriver) asked() []domain.Position {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]domain.Position{}, d.after...)
}

func (d *fakeDriver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	return d.publish(ctx, records)
}

func (d *fakeDriver) Ping(ctx context.Context) error {
	if d.ping == nil {
		return nil
	}
	return d.ping(ctx)
}

func (d *fakeDriver) Trim(ctx context.Context, topic string) error {
	if d.trim == nil {
		return nil
	}
	return d.trim(ctx, topic)
}

func (d *fakeDriver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
	return nil
}

// script makes a driver whose Follow returns one step after the other, each a
// Feed or an error.
func script(g transport.Guarantees, steps ...any) *fakeDriver {
	var mu sync.Mutex
	return &fakeDriver{
		guarantees: g,
		follow: func(context.Context, string, domain.Position) (transport.Feed, error) {
			mu.Lock()
			defer mu.Unlock()
			if len(steps) == 0 {
				return nil, errNet
			}
			step := steps[0]
			steps = steps[1:]
			switch step := step.(type) {
			case *fakeFeed:
				return step, nil
			case error:
				return nil, step
			}
			panic(fmt.Sprintf("no step: %v", step))
		},
	}
}

// A fakeFeed returns what was put into it, then what it fails with, and waits
// if that is nil.
type fakeFeed struct {
	log   domain.LogID
	begin domain.Position

	mu     sync.Mutex
	reads  int
	put    []any // a []domain.Entry or an error
	closed chan struct{}
	once   sync.Once
}

func feed(log domain.LogID, begin domain.Position, reads ...any) *fakeFeed {
	return &fakeFeed{log: log, begin: begin, put: reads, closed: make(chan struct{})}
}

func (f *fakeFeed) Log() domain.LogID      { return f.log }
func (f *fakeFeed) Begin() domain.Position { return f.begin }

// Read ignores its context, as some do: Close must end it.
func (f *fakeFeed) Read(context.Context) ([]domain.Entry, error) {
	f.mu.Lock()
	f.reads++
	if len(f.put) > 0 {
		defer f.mu.Unlock()
		next := f.put[0]
		f.put = f.put[1:]
		if err, ok := next.(error); ok {
			return nil, err
		}
		return next.([]domain.Entry), nil
	}
	f.mu.Unlock()
	<-f.closed
	return nil, domain.ErrClosed
}

func (f *fakeFeed) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

func (f *fakeFeed) read() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

func (f *fakeFeed) isClosed() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

var logged = transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true}

// position is the nth position of a log.
func position(n int) domain.Position {
	return domain.Position(binary.BigEndian.AppendUint32(nil, uint32(n)))
}

// records returns the records from the first position to the last.
func records(first, last int) []domain.Entry {
	var batch []domain.Entry
	for n := first; n <= last; n++ {
		batch = append(batch, domain.Entry{Position: position(n), UUID: fmt.Sprint(n), Body: fmt.Appendf(nil, "body %d", n)})
	}
	return batch
}

// summary writes entries for people: "start 0 of 1", "3", "gap trimmed 9 of 1".
func summary(batch []domain.Entry) []string {
	var lines []string
	for _, e := range batch {
		at := "-"
		if e.Position != "" {
			at = fmt.Sprint(binary.BigEndian.Uint32([]byte(e.Position)))
		}
		switch e.Kind {
		case domain.Start:
			lines = append(lines, fmt.Sprintf("start %s of %d", at, e.Log))
		case domain.Gap:
			lines = append(lines, fmt.Sprintf("gap %s %s of %d", e.Reason, at, e.Log))
		default:
			lines = append(lines, at)
		}
	}
	return lines
}

// take acks what comes until there are n entries, and returns their summary.
func take(t *testing.T, batches <-chan *message.Message, n int) []string {
	t.Helper()
	var lines []string
	for len(lines) < n {
		m, ok := <-batches
		if !ok {
			t.Fatalf("the channel was closed after %q", lines)
		}
		batch, ok := domain.EntriesFrom(m.Context())
		if !ok || len(batch) == 0 {
			t.Fatal("a message without entries")
		}
		lines = append(lines, summary(batch)...)
		m.Ack()
	}
	return lines
}

func mustClose(t *testing.T, bus *transport.Transport) {
	t.Helper()
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}
