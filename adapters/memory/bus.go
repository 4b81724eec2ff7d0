package memory

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	maxTopic  = 255    // bytes of a topic's name
	maxTopics = 10_000 // topics of one bus
)

// Config bounds what each topic of a Bus keeps. The zero Config is good.
type Config struct {
	Retention time.Duration // how long an entry is kept; default 1 h
	Messages  int           // most entries kept; default 100,000
	Bytes     int           // most bytes kept, overhead included; default 64 MiB
}

func (c Config) withDefaults() Config {
	if c.Retention <= 0 {
		c.Retention = time.Hour
	}
	if c.Messages <= 0 {
		c.Messages = 100_000
	}
	if c.Bytes <= 0 {
		c.Bytes = 64 << 20
	}
	return c
}

// A Bus holds the logs of its topics. It is a transport.Driver, safe for
// concurrent use; several nodes of one process share it through Driver.
type Bus struct {
	cfg Config
	ctx context.Context // ends with Close
	end context.CancelFunc

	mu     sync.RWMutex
	topics map[string]*log // guarded by mu; at most maxTopics
}

var (
	_ transport.Driver      = (*Bus)(nil)
	_ transport.LogDriver   = (*Bus)(nil)
	_ transport.GroupDriver = (*Bus)(nil)
	_ transport.Trimmer     = (*Bus)(nil)
)

// New returns a bus without topics: publishing and following make them.
func New(cfg Config) *Bus {
	b := &Bus{cfg: cfg.withDefaults(), topics: make(map[string]*log)}
	b.ctx, b.end = context.WithCancel(context.Background())
	return b
}

// Driver returns a handle on the bus that can be closed without closing the
// others or the bus.
func (b *Bus) Driver() transport.Driver {
	return &handle{Bus: b}
}

// Guarantees says what the bus promises.
func (b *Bus) Guarantees() transport.Guarantees {
	return transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true, Groups: true}
}

// CheckTopic wants a name of 1 to 255 bytes of valid UTF-8 without control
// characters.
func (b *Bus) CheckTopic(topic string) error {
	switch {
	case topic == "" || len(topic) > maxTopic:
		return fmt.Errorf("memory: a topic's name has 1 to %d bytes, this one has %d: %w", maxTopic, len(topic), domain.ErrInvalid)
	case !utf8.ValidString(topic) || strings.ContainsFunc(topic, unicode.IsControl):
		return fmt.Errorf("memory: a topic's name is valid UTF-8 without control characters: %w", domain.ErrInvalid)
	}
	return nil
}

// Follow opens a feed behind a position: a sequence number of 8 bytes, big
// endian. An empty topic's tail is sequence 0.
func (b *Bus) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if err := b.live(ctx); err != nil {
		return nil, fmt.Errorf("memory: follow %q: %w", topic, err)
	}
	l, err := b.log(topic)
	if err != nil {
		return nil, fmt.Errorf("memory: follow %q: %w", topic, err)
	}
	id, begin, err := l.place(after, time.Now())
	if err != nil {
		return nil, err
	}
	return newFeed(l, id, begin, b.ctx.Done()), nil
}

// FollowSince opens a feed of what was published at or after t and is still
// kept.
func (b *Bus) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	if err := b.live(ctx); err != nil {
		return nil, fmt.Errorf("memory: follow %q: %w", topic, err)
	}
	l, err := b.log(topic)
	if err != nil {
		return nil, fmt.Errorf("memory: follow %q: %w", topic, err)
	}
	id, begin := l.before(t, time.Now())
	return newFeed(l, id, begin, b.ctx.Done()), nil
}

// Tail returns the position of what was published last; sequence 0 if that is
// nothing.
func (b *Bus) Tail(ctx context.Context, topic string) (domain.Position, error) {
	if err := b.live(ctx); err != nil {
		return "", fmt.Errorf("memory: tail of %q: %w", topic, err)
	}
	b.mu.RLock()
	l := b.topics[topic]
	b.mu.RUnlock()
	if l == nil {
		return position(0), nil
	}
	return position(l.tail()), nil
}

// Publish appends to the logs. It copies what it keeps. What is larger than a
// topic may hold is refused with domain.ErrTooLarge.
func (b *Bus) Publish(ctx context.Context, records []transport.Outgoing) []error {
	if err := b.live(ctx); err != nil {
		return refuse(len(records), fmt.Errorf("memory: publish: %w", err))
	}
	var errs []error
	for at := 0; at < len(records); {
		end := run(records, at)
		if faults := b.append(records[at:end]); faults != nil {
			if errs == nil {
				errs = make([]error, len(records))
			}
			copy(errs[at:], faults)
		}
		at = end
	}
	return errs
}

// run returns where the records of one topic that begin at start end.
func run(records []transport.Outgoing, start int) int {
	end := start + 1
	for end < len(records) && records[end].Topic == records[start].Topic {
		end++
	}
	return end
}

// append adds the records of one topic.
func (b *Bus) append(records []transport.Outgoing) []error {
	topic := records[0].Topic
	l, err := b.log(topic)
	if err != nil {
		return refuse(len(records), fmt.Errorf("memory: publish to %q: %w", topic, err))
	}
	return l.append(pack(records, b.cfg.Bytes))
}

// Ping says that the bus is there until it is closed.
func (b *Bus) Ping(ctx context.Context) error { return b.live(ctx) }

// Trim drops what is older than the retention. Publish and Follow do so too:
// Trim is for topics on which nothing happens.
func (b *Bus) Trim(_ context.Context, topic string) error {
	b.mu.RLock()
	l := b.topics[topic]
	b.mu.RUnlock()
	if l != nil {
		l.expire(time.Now())
	}
	return nil
}

// Forget drops all but the newest keep entries of a topic, as a broker does
// whose operator trims it. It is for tests.
func (b *Bus) Forget(topic string, keep int) {
	b.mu.RLock()
	l := b.topics[topic]
	b.mu.RUnlock()
	if l != nil {
		l.forget(keep)
	}
}

// Renew makes a topic anew, empty and as another log: its feeds are told, and
// its groups begin anew. It is for tests.
func (b *Bus) Renew(topic string) {
	b.mu.RLock()
	l := b.topics[topic]
	b.mu.RUnlock()
	if l != nil {
		l.renew()
	}
}

// Close ends all feeds and group members, of all drivers. The logs go with the bus.
func (b *Bus) Close() error {
	b.end()
	return nil
}

// live says why nothing can be done: the bus is closed, or ctx has ended.
func (b *Bus) live(ctx context.Context) error {
	if b.ctx.Err() != nil {
		return domain.ErrClosed
	}
	return ctx.Err()
}

// log returns the log of a topic, a new one if there is none yet.
func (b *Bus) log(topic string) (*log, error) {
	b.mu.RLock()
	l := b.topics[topic]
	b.mu.RUnlock()
	if l != nil {
		return l, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.topics[topic]; l != nil {
		return l, nil
	}
	if len(b.topics) >= maxTopics {
		return nil, fmt.Errorf("the bus has %d topics: %w", len(b.topics), domain.ErrLimit)
	}
	l = newLog(b.cfg)
	b.topics[topic] = l
	return l, nil
}

// refuse says the same of n records.
func refuse(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
