// Package faulty is a memory bus that can be made to fail: as a whole, on one
// link, or on single messages.
package faulty

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A Config says what a Bus is like while nothing fails.
type Config struct {
	Memory memory.Config
	// Lossy makes it a bus that keeps no log: what a link does not hear is
	// lost to it.
	Lossy bool
	// Rand is used for Faults that are left to chance. Only the Bus may use it
	// from then on. It may be nil if no such fault is set.
	Rand *rand.Rand
	// Spare reports which payloads a Plan ignores. If it is nil, there are none.
	Spare func(payload []byte) bool
}

// Faults are the faults of the whole bus.
type Faults struct {
	Down        bool          // nothing answers
	Late        time.Duration // how long an answer may take, at most
	Step        time.Duration // by how much the log's clock is wrong
	Loss        float64       // the probability that a lossy bus loses a message to a link
	LostAnswers int           // of so many publishes, one is taken but reported as failed
}

// A Bus is a memory bus that can be made to fail. It records what it has carried,
// in order. It is safe for concurrent use.
type Bus struct {
	cfg Config

	mu     sync.Mutex // guards what follows
	bus    *memory.Bus
	faults Faults
	wire   map[string][]*message.Message // topic: what was taken
	feeds  map[*feed]struct{}
	plans  map[string][]*plan                    // topic: not yet used up
	marks  map[string]map[domain.Position]*marks // topic: what is to happen to an entry
}

var (
	errDown = errors.New("the bus is down")
	errLost = errors.New("the answer was lost")
)

// New returns a bus on which nothing fails yet.
func New(cfg Config) *Bus {
	return &Bus{
		cfg: cfg, bus: memory.New(cfg.Memory),
		wire: make(map[string][]*message.Message), feeds: make(map[*feed]struct{}),
		plans: make(map[string][]*plan), marks: make(map[string]map[domain.Position]*marks),
	}
}

// Lossy reports whether the bus keeps no log.
func (b *Bus) Lossy() bool { return b.cfg.Lossy }

// Set changes how the bus behaves. When it goes down, every feed ends.
func (b *Bus) Set(change func(f *Faults)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.faults)
	if b.faults.Down {
		b.cut(nil)
	}
}

// Interrupt ends every feed once.
func (b *Bus) Interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut(nil)
}

// Forget replaces the logs by new, empty ones, as the restart of a broker does that
// stores nothing on disk. Members of consumer groups end.
func (b *Bus) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.bus
	b.bus = memory.New(b.cfg.Memory)
	clear(b.marks)
	b.cut(nil)
	old.Close()
}

// Carried returns what a topic has carried so far. The caller may not change it.
func (b *Bus) Carried(topic string) []*message.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wire[topic]
}

// Close ends all feeds of all links.
func (b *Bus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bus.Close()
}

// cut ends the feeds of a link, or all feeds for nil. mu must be held.
func (b *Bus) cut(of *Link) {
	for f := range b.feeds {
		if of == nil || f.link == of {
			f.cancel()
		}
	}
}

// pause takes as long as an answer takes.
func (b *Bus) pause(ctx context.Context) error {
	b.mu.Lock()
	down, d := b.faults.Down, b.lateness()
	b.mu.Unlock()
	if down {
		return errDown
	}
	return wait(ctx, d)
}

// lateness returns how long an answer takes now. mu must be held.
func (b *Bus) lateness() time.Duration {
	if b.faults.Late <= 0 {
		return 0
	}
	return time.Duration(b.cfg.Rand.Int64N(int64(b.faults.Late)))
}

// publish takes all records or none. With LostAnswers it sometimes takes all and
// reports an error.
func (b *Bus) publish(ctx context.Context, records []transport.Outgoing) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if errs, planned := b.publishPlanned(ctx, records); planned {
		return errs
	}
	if errs := b.bus.Publish(ctx, records); errs != nil {
		return errs
	}
	for _, r := range records {
		b.note(r)
	}
	if b.faults.LostAnswers > 0 && b.cfg.Rand.IntN(b.faults.LostAnswers) == 0 {
		return all(len(records), errLost)
	}
	return nil
}

// note records that a record was taken. mu must be held.
func (b *Bus) note(r transport.Outgoing) {
	b.wire[r.Topic] = append(b.wire[r.Topic], r.Message.Copy())
}

func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// wait waits for d, or for ctx to end.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
