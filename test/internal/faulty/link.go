package faulty

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// noticed is how long a deaf link takes to notice that it is. Drivers of real
// brokers notice it because they send themselves messages.
const noticed = 2 * time.Second

// A Link is the connection of one node, or one publisher, to the bus. Faults can be
// caused on one link alone. It is safe for concurrent use.
type Link struct {
	b *Bus

	// Guarded by b.mu:
	parted bool          // nothing passes in either direction
	hears  chan struct{} // closed while the link is not deaf
	since  time.Time     // when it became deaf
	notice *time.Timer   // ends the feeds of a deaf link
}

// Link returns a new link to the bus.
func (b *Bus) Link() *Link {
	l := &Link{b: b, hears: make(chan struct{})}
	close(l.hears)
	return l
}

// Driver returns a driver that uses the link, for a node or a publisher.
func (l *Link) Driver() transport.Driver {
	if l.b.cfg.Lossy {
		return lossyDriver{driver: &driver{l}, heard: make(map[string]bool)}
	}
	return logDriver{&driver{l}}
}

// Part separates the link from the bus: feeds end, and calls fail.
func (l *Link) Part() {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.parted = true
	l.b.cut(l)
}

// Deafen makes feeds bring nothing, although the bus answers and takes what is
// published, like a connection that swallows everything. After a while the feeds
// notice and end, and new feeds are not confirmed.
func (l *Link) Deafen() {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	if l.deaf() {
		return
	}
	l.hears, l.since = make(chan struct{}), time.Now()
	l.notice = time.AfterFunc(noticed, func() {
		l.b.mu.Lock()
		defer l.b.mu.Unlock()
		if l.deaf() {
			l.b.cut(l)
		}
	})
}

// Heal ends the faults of the link.
func (l *Link) Heal() {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.parted = false
	if l.deaf() {
		l.notice.Stop()
		close(l.hears)
	}
}

// deaf reports whether the link is deaf. b.mu must be held.
func (l *Link) deaf() bool {
	select {
	case <-l.hears:
		return false
	default:
		return true
	}
}

// pause takes as long as an answer takes.
func (l *Link) pause(ctx context.Context) error {
	l.b.mu.Lock()
	parted := l.parted
	l.b.mu.Unlock()
	if parted {
		return errDown
	}
	return l.b.pause(ctx)
}

// hear waits until the link is not deaf.
func (l *Link) hear(ctx context.Context) error {
	l.b.mu.Lock()
	hears, deaf := l.hears, l.deaf()
	l.b.mu.Unlock()
	if !deaf {
		return nil
	}
	select {
	case <-hears:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A driver has the methods of a transport.Driver that are the same with and
// without a log.
type driver struct{ *Link }

func (d *driver) CheckTopic(topic string) error  { return nil }
func (d *driver) Close() error                   { return nil }
func (d *driver) Ping(ctx context.Context) error { return d.pause(ctx) }

func (d *driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	if err := d.pause(ctx); err != nil {
		return all(len(records), err)
	}
	return d.b.publish(ctx, records)
}

// open opens a feed once the bus has confirmed it. On a deaf link the confirmation
// never comes.
func (d *driver) open(
	ctx context.Context, topic string, follow func(*memory.Bus) (transport.Feed, error),
) (*feed, error) {
	if err := d.pause(ctx); err != nil {
		return nil, err
	}
	if err := d.hear(ctx); err != nil {
		return nil, err
	}
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	inner, err := follow(d.b.bus)
	if err != nil {
		return nil, err
	}
	return d.newFeed(topic, inner), nil
}

// A logDriver is the driver of a bus with a log.
type logDriver struct{ *driver }

var (
	_ transport.LogDriver   = logDriver{}
	_ transport.Rewinder    = logDriver{}
	_ transport.GroupDriver = logDriver{}
)

func (d logDriver) Guarantees() transport.Guarantees {
	return transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true, Groups: true}
}

func (d logDriver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	f, err := d.open(ctx, topic, func(bus *memory.Bus) (transport.Feed, error) { return bus.Follow(ctx, topic, after) })
	if err != nil {
		return nil, err // not a nil *feed
	}
	return f, nil
}

func (d logDriver) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	f, err := d.open(ctx, topic, func(bus *memory.Bus) (transport.Feed, error) {
		return bus.FollowSince(ctx, topic, t.Add(-d.b.faults.Step))
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d logDriver) Tail(ctx context.Context, topic string) (domain.Position, error) {
	if err := d.pause(ctx); err != nil {
		return "", err
	}
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	return d.b.bus.Tail(ctx, topic)
}

func (d logDriver) Back(
	ctx context.Context, topic string, upTo domain.Position, n int,
) (domain.Position, bool, error) {
	if err := d.pause(ctx); err != nil {
		return "", false, err
	}
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	return d.b.bus.Back(ctx, topic, upTo, n)
}

// Group returns a member of a consumer group. Of the faults only Bus.Forget
// affects it.
func (d logDriver) Group(name string) (message.Subscriber, error) {
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	m, err := d.b.bus.Group(name)
	if err != nil {
		return nil, fmt.Errorf("faulty: %w", err)
	}
	return m, nil
}
