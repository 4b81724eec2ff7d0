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
	"github.com/fanfarebus/fanfare/internal/defaults"
)

const (
	maxTopic  = 255    // bytes of a topic's name
	maxTopics = 10_000 // topics of one bus
)

// The defaults of [Config].
const (
	DefaultRetention = time.Hour
	DefaultBytes     = 256 << 20
)

// Config bounds what each topic of a [Bus] keeps. The zero Config has the
// defaults.
type Config struct {
	Retention time.Duration // how long an entry is kept
	Bytes     int           // how many bytes are kept at most, overhead included
	Messages  int           // how many entries are kept at most; 0: as many as Bytes allow
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.Retention, DefaultRetention)
	defaults.Set(&c.Bytes, DefaultBytes)
	return c
}

// A Bus holds the logs of its topics. It is a [transport.Driver] and safe for
// concurrent use. Several nodes in one process can share it: each takes a handle
// of its own from [Bus.Driver].
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
	_ transport.Rewinder    = (*Bus)(nil)
	_ transport.GroupDriver = (*Bus)(nil)
	_ transport.Trimmer     = (*Bus)(nil)
)

// New returns a bus without topics. A topic is created when somebody publishes
// to it or follows it for the first time.
func New(cfg Config) *Bus {
	b := &Bus{cfg: cfg.withDefaults(), topics: make(map[string]*log)}
	b.ctx, b.end = context.WithCancel(context.Background())
	return b
}

// Driver returns a handle on the bus. Closing the handle closes neither the bus
// nor other handles.
func (b *Bus) Driver() transport.Driver {
	return &handle{Bus: b}
}

// Guarantees returns what the bus promises: everything there is.
func (b *Bus) Guarantees() transport.Guarantees {
	return transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true, Groups: true}
}

// CheckTopic returns a [domain.ErrInvalid] unless the topic's name has 1 to 255
// bytes of valid UTF-8 without control characters.
func (b *Bus) CheckTopic(topic string) error {
	switch {
	case topic == "" || len(topic) > maxTopic:
		return fmt.Errorf("memory: a topic's name has 1 to %d bytes, this one has %d: %w",
			maxTopic, len(topic), domain.ErrInvalid)
	case !utf8.ValidString(topic) || strings.ContainsFunc(topic, unicode.IsControl):
		return fmt.Errorf("memory: a topic's name is valid UTF-8 without control characters: %w",
			domain.ErrInvalid)
	}
	return nil
}

// Follow opens a feed of what comes after a position, which is a sequence number
// of 8 bytes, big-endian. The first record has sequence number 1, so 0 is the
// position before it.
func (b *Bus) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if err := b.live(ctx); err != nil {
		return nil, fmt.Errorf("memory: follow %q: %w", topic, err)
	}
	l, err := b.log(topic)
	if err != nil {
		return nil, fmt.Errorf("memory: follow %q: %w", topic, err)
	}
	id, begin, err := l.resolve(after, time.Now())
	if err != nil {
		return nil, err
	}
	return newFeed(l, id, begin, b.ctx.Done()), nil
}

// FollowSince opens a feed of what was published at or after t and is still in
// the log.
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

// Tail returns the position of the record that was published last, and that of
// sequence number 0 if there is none.
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

// Publish appends to the logs and copies what it keeps. A message that is larger
// than a topic may be is refused with a [domain.ErrTooLarge].
func (b *Bus) Publish(ctx context.Context, records []transport.Outgoing) []error {
	if err := b.live(ctx); err != nil {
		return refuse(len(records), fmt.Errorf("memory: publish: %w", err))
	}
	var errs []error
	for at := 0; at < len(records); {
		end := sameTopicEnd(records, at)
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

// sameTopicEnd returns the end of the consecutive records, from start on, that
// have the same topic.
func sameTopicEnd(records []transport.Outgoing, start int) int {
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
	at, errs := l.append(pack(records, b.cfg.Bytes))
	positions := positions(at.first-1, len(records))
	for i := range records {
		if errs != nil && errs[i] != nil {
			continue
		}
		records[i].At.Log, records[i].Time = at.log, at.time
		records[i].At.Position, positions = positions[:positionSize], positions[positionSize:]
	}
	return errs
}

// Ping returns an error only once the bus is closed or ctx has ended.
func (b *Bus) Ping(ctx context.Context) error { return b.live(ctx) }

// Trim drops what is older than the retention. Publish and Follow do so as well;
// Trim is for topics that nobody uses at the moment.
func (b *Bus) Trim(_ context.Context, topic string) error {
	b.mu.RLock()
	l := b.topics[topic]
	b.mu.RUnlock()
	if l != nil {
		l.expire(time.Now())
	}
	return nil
}

// Forget drops all but the newest keep entries of a topic, as an operator of a
// broker could. It is for tests.
func (b *Bus) Forget(topic string, keep int) {
	b.mu.RLock()
	l := b.topics[topic]
	b.mu.RUnlock()
	if l != nil {
		l.forget(keep)
	}
}

// Renew replaces a topic's log by a new and empty one, as if the topic had been
// deleted and created again. Its feeds end with a gap, and its groups start at
// the beginning of the new log. It is for tests.
func (b *Bus) Renew(topic string) {
	b.mu.RLock()
	l := b.topics[topic]
	b.mu.RUnlock()
	if l != nil {
		l.renew()
	}
}

// Close ends all feeds and group members, those of handles included. The logs
// are lost.
func (b *Bus) Close() error {
	b.end()
	return nil
}

// live returns an error if the bus is closed or ctx has ended.
func (b *Bus) live(ctx context.Context) error {
	if b.ctx.Err() != nil {
		return domain.ErrClosed
	}
	return ctx.Err()
}

// log returns the log of a topic, and creates it if there is none yet.
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

// refuse returns the same error for each of n records.
func refuse(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
