package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

const (
	maxGroups = 1000                  // of one topic
	nackPause = 10 * time.Millisecond // how long a member pauses after a nack
)

// Group returns a subscriber in the named consumer group. A new group starts at
// the oldest record of a topic, and exists until the bus is closed. A record that
// the topic drops before the group has read it is lost to the group.
func (b *Bus) Group(name string) (message.Subscriber, error) { return b.GroupWindow(name, 1) }

// GroupWindow is Group for a member that holds up to inFlight messages of each topic.
func (b *Bus) GroupWindow(name string, inFlight int) (message.Subscriber, error) {
	if name == "" {
		return nil, fmt.Errorf("memory: %w: a consumer group needs a name", domain.ErrInvalid)
	}
	m := &member{bus: b, name: name, inFlight: inFlight}
	m.ctx, m.cancel = context.WithCancel(b.ctx)
	return m, nil
}

// A member is one subscriber in a group. It is safe for concurrent use.
type member struct {
	bus      *Bus
	name     string
	inFlight int
	ctx      context.Context // ends with Close, or with the bus
	cancel   context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // subscriptions; Add under mu while not closed
}

// Subscribe takes the group's messages of a topic, at most inFlight at a time, until
// ctx ends. A message that is nacked, or not acked when the subscription ends, goes
// back to the group.
func (m *member) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := m.bus.live(ctx); err != nil {
		return nil, fmt.Errorf("memory: group %q: subscribe to %q: %w", m.name, topic, err)
	}
	l, err := m.bus.log(topic)
	if err != nil {
		return nil, fmt.Errorf("memory: group %q: subscribe to %q: %w", m.name, topic, err)
	}
	g, err := l.group(m.name)
	if err != nil {
		return nil, fmt.Errorf("memory: group %q: subscribe to %q: %w", m.name, topic, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("memory: group %q: subscribe to %q: %w", m.name, topic, domain.ErrClosed)
	}
	out := make(chan *message.Message)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(m.ctx, cancel)
	m.running.Go(func() {
		defer close(out)
		defer cancel()
		defer stop()
		g.serve(ctx, out, m.inFlight)
	})
	return out, nil
}

// Close ends the member's subscriptions and waits for them.
func (m *member) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.running.Wait()
	return nil
}

// A group shares a log among its members. It is safe for concurrent use. Its
// lock may be held when the log's lock is taken, but not the other way round.
type group struct {
	log *log

	mu       sync.Mutex
	last     uint64        // sequence number up to which records were delivered; guarded by mu
	returned []delivery    // delivered and not acked, in order; guarded by mu
	more     chan struct{} // closed, and replaced, when a record is returned; guarded by mu
}

// A delivery is a record on its way to a member.
type delivery struct {
	seq uint64
	record
}

// group returns the named group, and creates it at the log's beginning if there
// is none yet.
func (l *log) group(name string) (*group, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.groups[name]; g != nil {
		return g, nil
	}
	if len(l.groups) >= maxGroups {
		return nil, fmt.Errorf("the topic has %d groups: %w", len(l.groups), domain.ErrLimit)
	}
	if l.groups == nil {
		l.groups = make(map[string]*group)
	}
	g := &group{log: l, last: l.first - 1, more: make(chan struct{})}
	l.groups[name] = g
	return g, nil
}

// serve delivers messages to one member until ctx ends. The member has at most inFlight
// of them that it has not answered.
func (g *group) serve(ctx context.Context, out chan<- *message.Message, inFlight int) {
	var answers sync.WaitGroup
	defer answers.Wait()
	slots := make(chan struct{}, inFlight)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		d, ok := g.take(ctx)
		if !ok {
			return
		}
		m, cancel := d.message(ctx)
		select {
		case out <- m:
		case <-ctx.Done(): // nobody answers m; await sees that ctx is over
		}
		answers.Go(func() {
			defer func() { <-slots }()
			defer cancel()
			if !await(ctx, m) {
				g.giveBack(d)
				pause.For(ctx, nackPause)
			}
		})
	}
}

// take waits for the next record that no member has. It returns false if ctx
// ends first.
func (g *group) take(ctx context.Context) (delivery, bool) {
	for ctx.Err() == nil {
		d, ok, appended, returned := g.next()
		if ok {
			return d, true
		}
		select {
		case <-appended:
		case <-returned:
		case <-ctx.Done():
		}
	}
	return delivery{}, false
}

// next returns the next record that no member has. If there is none it returns
// channels of which one is closed when there may be one.
func (g *group) next() (d delivery, ok bool, appended, returned <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.returned) > 0 {
		d, g.returned = g.returned[0], g.returned[1:]
		return d, true, nil, nil
	}
	g.last = max(g.last, g.log.begin())
	records, appended, err := g.log.read(nil, 0, g.last, 1)
	switch {
	case err != nil:
		// The log dropped the record after g.last between the two calls. The
		// caller tries again at once.
		now := make(chan struct{})
		close(now)
		return delivery{}, false, now, nil
	case len(records) > 0:
		g.last++
		return delivery{g.last, records[0]}, true, nil, nil
	}
	return delivery{}, false, appended, g.more
}

// restart starts the group at the beginning of a log that has been renewed.
func (g *group) restart() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last, g.returned = 0, nil
}

func (g *group) giveBack(d delivery) {
	g.mu.Lock()
	defer g.mu.Unlock()
	bySeq := func(a, b delivery) int { return cmp.Compare(a.seq, b.seq) }
	i, _ := slices.BinarySearchFunc(g.returned, d, bySeq)
	g.returned = slices.Insert(g.returned, i, d)
	close(g.more)
	g.more = make(chan struct{})
}

// message makes the message of a record; its context ends when cancel is called.
func (d delivery) message(ctx context.Context) (m *message.Message, cancel context.CancelFunc) {
	m = message.NewMessage(d.uuid, bytes.Clone(d.body))
	for _, f := range d.header {
		m.Metadata[f.Name] = f.Value
	}
	ctx, cancel = context.WithCancel(ctx)
	m.SetContext(ctx)
	return m, cancel
}

// await waits for the member's answer, and reports whether m was acked.
func await(ctx context.Context, m *message.Message) (acked bool) {
	select {
	case <-m.Acked():
		return true
	case <-m.Nacked():
		return false
	case <-ctx.Done():
	}
	select {
	case <-m.Acked(): // before ctx ended
		return true
	default:
		return false
	}
}
