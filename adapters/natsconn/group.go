package natsconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

// The pauses after a member of a group lost its place double from retryMin to
// retryMax, and are shortened at random by up to a half.
const (
	rejoinMin = 50 * time.Millisecond
	rejoinMax = 2 * time.Second
)

// Join makes one member of a group on one topic.
type Join func(ctx context.Context, topic string) (Membership, error)

// A Membership brings a group's member its messages, one by one. It belongs to
// one goroutine.
type Membership interface {
	// Next waits for a message. After an error the membership is over.
	Next(ctx context.Context) (Delivery, error)
	Close() error
}

// A Delivery is a message and the answers to it.
type Delivery interface {
	Entry() domain.Entry
	// Ack says that it is dealt with.
	Ack() error
	// Nack says that it is not, and whether the caller has to deliver it again.
	Nack(ctx context.Context) (again bool, err error)
	// InProgress says that it is still being dealt with.
	InProgress() error
	// InProgressInterval is how often that has to be said; 0 means never.
	InProgressInterval() time.Duration
}

// A Group is a subscriber in a group: Watermill's, one message at a time, the
// next one after the ack. A subscription outlives interruptions. It is safe for
// concurrent use.
type Group struct {
	name   string
	join   Join
	log    *slog.Logger
	ctx    context.Context // until Close
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // subscriptions; Add under mu while not closed
}

var _ message.Subscriber = (*Group)(nil)

// NewGroup returns a member of the named group.
func NewGroup(name string, join Join, log *slog.Logger) (*Group, error) {
	if name == "" {
		return nil, fmt.Errorf("%w: a group needs a name", domain.ErrInvalid)
	}
	g := &Group{name: name, join: join, log: log.With(slog.String("group", name))}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// Subscribe joins the group on a topic and returns when the server confirmed.
// The subscription lives until ctx ends or the Group is closed.
func (g *Group) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if !g.register() {
		return nil, domain.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(g.ctx, cancel)
	quit := func() { forget(); cancel() }
	m, err := g.join(ctx, topic)
	if err != nil {
		quit()
		g.running.Done()
		return nil, Classify(err)
	}
	out := make(chan *message.Message)
	go func() {
		defer g.running.Done()
		defer close(out)
		defer quit()
		g.run(ctx, topic, m, out)
	}()
	return out, nil
}

func (g *Group) register() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.running.Add(1)
	return true
}

// Close ends the subscriptions and waits for them. What is not acked by then is
// not, and comes again where the server keeps it. A second time does nothing.
func (g *Group) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.running.Wait()
	return nil
}

// run delivers until ctx ends, and joins again when it has to.
func (g *Group) run(ctx context.Context, topic string, m Membership, out chan<- *message.Message) {
	log := g.log.With("topic", topic)
	pause := rejoinMin
	for {
		if m != nil {
			err := g.serve(ctx, m, out, func() { pause = rejoinMin })
			_ = m.Close()
			if ctx.Err() != nil {
				return
			}
			log.Warn("the group's subscription was interrupted", "error", err)
		}
		if !sleep(ctx, pause-rand.N(pause/2)) {
			return
		}
		pause = min(2*pause, rejoinMax)
		var err error
		if m, err = g.join(ctx, topic); err != nil {
			m = nil
			log.Debug("joining again failed", "error", err)
		}
	}
}

func (g *Group) serve(ctx context.Context, m Membership, out chan<- *message.Message, progress func()) error {
	for {
		d, err := m.Next(ctx)
		if err != nil {
			return err
		}
		progress()
		for again := true; again; {
			if again, err = deliver(ctx, d, out); err != nil {
				return err
			}
		}
	}
}

// deliver hands a message out once, waits for the answer and passes it on.
func deliver(ctx context.Context, d Delivery, out chan<- *message.Message) (again bool, err error) {
	var tick <-chan time.Time
	if every := d.InProgressInterval(); every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		tick = ticker.C
	}
	mctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := newMessage(mctx, d.Entry())
	for give := out; ; {
		select {
		case give <- m:
			give = nil // the answer comes next
		case <-m.Acked():
			return false, d.Ack()
		case <-m.Nacked():
			return d.Nack(ctx)
		case <-tick:
			if err := d.InProgress(); err != nil {
				return false, err
			}
		case <-ctx.Done():
			return false, errors.Join(ctx.Err(), domain.ErrClosed, giveBack(ctx, d, m))
		}
	}
}

// giveBack passes on what is known of a message when its subscription ends. One
// that nobody has acked is given back, so that another member gets it at once
// and does not have to wait until the server misses this one.
func giveBack(ctx context.Context, d Delivery, m *message.Message) error {
	select {
	case <-m.Acked():
		return d.Ack()
	default:
		_, err := d.Nack(ctx)
		return err
	}
}

func newMessage(ctx context.Context, e domain.Entry) *message.Message {
	if e.UUID == "" {
		e.UUID = watermill.NewULID()
	}
	m := message.NewMessageWithContext(ctx, e.UUID, append([]byte(nil), e.Body...))
	for _, f := range e.Header {
		m.Metadata[f.Name] = f.Value
	}
	return m
}

// sleep waits for d, and says whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
