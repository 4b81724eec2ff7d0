package natsconn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// The pauses before an interrupted subscription joins its group again double from
// rejoinMin to rejoinMax.
const (
	rejoinMin = 50 * time.Millisecond
	rejoinMax = 2 * time.Second
)

// A Join makes a group's member that consumes one topic.
type Join func(ctx context.Context, topic string) (Membership, error)

// A Membership brings a group's member its messages, one by one. It belongs to
// one goroutine.
type Membership interface {
	// Next waits for a message. After an error the membership is over.
	Next(ctx context.Context) (Delivery, error)
	// Close ends the membership. Where the server keeps messages, it gives back those that
	// came meanwhile.
	Close() error
}

// A Delivery is a message that a member has received, and the possible answers
// to it.
type Delivery interface {
	// Entry is the message.
	Entry() domain.Entry
	// Ack says that the message was handled.
	Ack() error
	// Nack says that the message was not handled. It reports whether the caller
	// has to hand the message out again; else the server delivers it again.
	Nack(ctx context.Context) (again bool, err error)
	// InProgress says that the message is still being handled, so that the server
	// does not deliver it to another member.
	InProgress() error
	// InProgressInterval is how often InProgress has to be called; 0 means never.
	InProgressInterval() time.Duration
}

// A Group is a Watermill subscriber that is a member of a group. It hands out a bounded
// number of messages before the first of them is answered. A subscription survives
// interruptions: it joins the group again. A Group is safe for concurrent use.
type Group struct {
	name     string
	inFlight int
	join     Join
	log      *slog.Logger
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // subscriptions; Add under mu while not closed
}

var _ message.Subscriber = (*Group)(nil)

// NewGroup returns a member of the named group. Each of its subscriptions has handed out
// at most inFlight messages that are not answered.
func NewGroup(name string, inFlight int, join Join, log *slog.Logger) (*Group, error) {
	if name == "" {
		return nil, fmt.Errorf("%w: a group needs a name", domain.ErrInvalid)
	}
	g := &Group{name: name, inFlight: inFlight, join: join, log: log.With(slog.String("group", name))}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// Subscribe joins the group on a topic, and returns when the server has confirmed
// that. The subscription ends when ctx ends or the Group is closed.
func (g *Group) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if !g.register() {
		return nil, domain.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	stopAfterFunc := context.AfterFunc(g.ctx, cancel)
	quit := func() { stopAfterFunc(); cancel() }
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

// register counts a subscription as running, unless g is closed.
func (g *Group) register() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.running.Add(1)
	return true
}

// Close ends the subscriptions and waits for them. Messages that are not acked by
// then stay unacked, and are delivered again where the server keeps them. Close may
// be called more than once.
func (g *Group) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.running.Wait()
	return nil
}

// run hands out messages until ctx ends. After an interruption it joins again; m is
// nil while that has not succeeded.
func (g *Group) run(ctx context.Context, topic string, m Membership, out chan<- *message.Message) {
	log := g.log.With("topic", topic)
	backoff := pause.Backoff{Min: rejoinMin, Max: rejoinMax}
	for {
		if m != nil {
			err := g.serve(ctx, m, out, backoff.Reset)
			_ = m.Close()
			if ctx.Err() != nil {
				return
			}
			log.Warn("the group's subscription was interrupted", "error", err)
		}
		if !backoff.Wait(ctx) {
			return
		}
		var err error
		if m, err = g.join(ctx, topic); err != nil {
			m = nil
			log.Debug("joining again failed", "error", err)
		}
	}
}

// serve hands out one membership's messages until an error ends it. It calls
// received whenever a message has come.
func (g *Group) serve(
	ctx context.Context, m Membership, out chan<- *message.Message, received func(),
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var answers sync.WaitGroup
	defer answers.Wait() // after cancel
	defer cancel(nil)
	slots := make(chan struct{}, g.inFlight)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		d, err := m.Next(ctx)
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		received()
		handedOut, done := make(chan struct{}), make(chan struct{})
		answers.Go(func() {
			defer func() { <-slots }()
			defer close(done)
			if err := deliver(ctx, d, out, func() { close(handedOut) }); err != nil {
				cancel(err)
			}
		})
		select { // so that the next message is handed out after this one
		case <-handedOut:
		case <-done:
		}
	}
}

// deliver hands a message out, again and again if need be, until the server has been
// given the handler's answer. It calls handedOut after the first time.
func deliver(ctx context.Context, d Delivery, out chan<- *message.Message, handedOut func()) error {
	for {
		again, err := attempt(ctx, d, out, handedOut)
		if err != nil || !again {
			return err
		}
		handedOut = func() {}
	}
}

// attempt hands a message out once, waits for the handler's answer and passes it on
// to the server. It reports whether the message has to be handed out again.
func attempt(
	ctx context.Context, d Delivery, out chan<- *message.Message, handedOut func(),
) (again bool, err error) {
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
			give = nil // it was handed out; now wait for the answer
			handedOut()
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

// giveBack answers a message when its subscription ends. A message that nobody has
// acked is nacked, so that another member gets it at once; without that answer the
// server would wait until its ack timeout.
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
		e.UUID = domain.NewID()
	}
	m := message.NewMessageWithContext(ctx, e.UUID, append([]byte(nil), e.Body...))
	for _, f := range e.Header {
		m.Metadata[f.Name] = f.Value
	}
	return m
}
