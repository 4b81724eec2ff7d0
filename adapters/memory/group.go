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
)

const (
	maxGroups = 1000                  // of one topic
	nackPause = 10 * time.Millisecond // before a member that refused a message takes another
)

// Group returns a subscriber in the named consumer group. A new group begins
// with the oldest message there is; a group lasts as long as the bus. What is
// dropped from a topic before the group has read it is lost to the group.
func (b *Bus) Group(name string) (message.Subscriber, error) {
	if name == "" {
		return nil, fmt.Errorf("memory: %w: a consumer group needs a name", domain.ErrInvalid)
	}
	m := &member{bus: b, name: name}
	m.ctx, m.cancel = context.WithCancel(b.ctx)
	return m, nil
}

// A member is a subscriber in a group. It is safe for concurrent use.
type member struct {
	bus    *Bus
	name   string
	ctx    context.Context // ends with Close, or with the bus
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // subscriptions; Add under mu while not closed
}

// Subscribe takes the group's messages of a topic, one at a time, until ctx
// ends: what is nacked, or not acked when the subscription ends, goes back to
// the group.
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
	forget := context.AfterFunc(m.ctx, cancel)
	m.running.Go(func() {
		defer close(out)
		defer cancel()
		defer forget()
		g.serve(ctx, out)
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

// A group shares a log among its members. It is safe for concurrent use.
type group struct {
	log *log

	mu   sync.Mutex
	last uint64        // everything up to here was handed out; guarded by mu
	back []parcel      // handed out and not acked, in order; guarded by mu
	more chan struct{} // closed when something comes back; guarded by mu
}

// A parcel is a record on its way to a member.
type parcel struct {
	seq uint64
	record
}

// group returns the named group, a new one at the log's beginning if there is
// none yet.
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

// serve hands messages to one member until ctx ends.
func (g *group) serve(ctx context.Context, out chan<- *message.Message) {
	for {
		p, ok := g.take(ctx)
		if !ok {
			return
		}
		acked := p.hand(ctx, out)
		if acked {
			continue
		}
		g.giveBack(p)
		select {
		case <-time.After(nackPause):
		case <-ctx.Done():
			return
		}
	}
}

// take waits for the next record that is nobody's, and says whether ctx lasted.
func (g *group) take(ctx context.Context) (parcel, bool) {
	for ctx.Err() == nil {
		p, ok, appended, returned := g.next()
		if ok {
			return p, true
		}
		select {
		case <-appended:
		case <-returned:
		case <-ctx.Done():
		}
	}
	return parcel{}, false
}

// next returns the next record that is nobody's, or what to wait for.
func (g *group) next() (p parcel, ok bool, appended, returned <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.back) > 0 {
		p, g.back = g.back[0], g.back[1:]
		return p, true, nil, nil
	}
	g.last = max(g.last, g.log.begin())
	records, appended, err := g.log.read(nil, 0, g.last, 1)
	switch {
	case err != nil: // dropped this very moment: begin anew at once
		now := make(chan struct{})
		close(now)
		return parcel{}, false, now, nil
	case len(records) > 0:
		g.last++
		return parcel{g.last, records[0]}, true, nil, nil
	}
	return parcel{}, false, appended, g.more
}

// restart begins anew, in a log that did.
func (g *group) restart() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last, g.back = 0, nil
}

func (g *group) giveBack(p parcel) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i, _ := slices.BinarySearchFunc(g.back, p, func(a, b parcel) int { return cmp.Compare(a.seq, b.seq) })
	g.back = slices.Insert(g.back, i, p)
	close(g.more)
	g.more = make(chan struct{})
}

// hand hands a record out and says whether it was acked.
func (p parcel) hand(ctx context.Context, out chan<- *message.Message) (acked bool) {
	m := message.NewMessage(p.uuid, bytes.Clone(p.body))
	for _, f := range p.header {
		m.Metadata[f.Name] = f.Value
	}
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	m.SetContext(until)
	select {
	case out <- m:
	case <-ctx.Done():
		return false
	}
	select {
	case <-m.Acked():
		return true
	case <-m.Nacked():
	case <-ctx.Done():
	}
	return false
}
