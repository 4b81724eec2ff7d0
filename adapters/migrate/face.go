package migrate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

const (
	// slack is by how much the clocks of this machine and of the two logs may
	// differ, together with how long a mark may be on its way from one to the other.
	slack = time.Minute
	// evidence is how far back the new log is searched for signs that it has taken
	// over. A Bridge leaves one every hereEvery.
	evidence = 5 * time.Minute
)

// BatchesSince returns the batch face of subscriptions that begin age back; see
// transport.Transport.BatchesSince. They pass the move with a domain.Arrive, and
// with a domain.Gap behind it if something was published on the new bus
// before it had its turn. To begin one needs both buses: whether the new one has
// taken over is written there.
func (b *DualBus) BatchesSince(age time.Duration) message.Subscriber { return face{b, age} }

type face struct {
	bus *DualBus
	age time.Duration
}

func (face) Close() error { return nil }

// Subscribe begins on the bus whose turn it is.
func (f face) Subscribe(ctx context.Context, name string) (<-chan *message.Message, error) {
	b := f.bus
	if !b.enter() {
		return nil, fmt.Errorf("move: subscribe to %q: %w", name, domain.ErrClosed)
	}
	next, here, err := b.hasMoved(ctx, name, max(f.age, evidence))
	if err != nil {
		b.running.Done()
		return nil, fmt.Errorf("move: subscribe to %q: does the new bus have its turn? %w", name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(b.ctx, cancel)
	s := &subscription{bus: b, name: name, next: next, ctx: ctx, out: make(chan *message.Message)}
	bus, age := b.from, max(f.age, slack) // so that a mark is not missed whose copy has not arrived
	if here {
		bus, age = b.to, f.age
	}
	in, err := bus.BatchesSince(age).Subscribe(s.first(), name)
	if err != nil {
		forget()
		cancel()
		b.running.Done()
		return nil, fmt.Errorf("move: %w", err)
	}
	b.note(name, func(t *topic) { t.subs++; t.next = next; t.here = t.here || here })
	go func() {
		defer b.running.Done()
		defer close(s.out)
		defer forget()
		defer cancel()
		defer b.note(name, func(t *topic) { t.subs--; t.since = time.Time{} })
		s.run(in, here)
	}()
	return s.out, nil
}

func (b *DualBus) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.running.Add(1)
	return true
}

// hasMoved says which log takes over for a topic, and whether it has. If the log
// holds what is no copy, and nothing shows that it has taken over, that is
// ErrNotACopy: to begin on either bus could be wrong.
func (b *DualBus) hasMoved(ctx context.Context, name string, age time.Duration) (next domain.LogID, here bool, err error) {
	foreign := false
	look := func(batch []domain.Entry) bool {
		foreign = foreign || slices.ContainsFunc(batch, isNoCopy)
		here = slices.ContainsFunc(batch, isEvidence)
		return !here
	}
	at, err := b.to.Scan(ctx, name, "", time.Now().Add(-age), look)
	if err == nil && foreign && !here { // the Bridge may have ended long ago: look for the mark's copy
		_, err = b.to.Scan(ctx, name, "", time.Time{}, look)
		if err == nil && !here {
			err = fmt.Errorf("%w, and no mark: set up the new bus alone if the move is long over", ErrNotACopy)
		}
	}
	return at.Log, here, err
}

// isEvidence says whether an entry of a log shows that the log has taken over:
// the mark's copy, and what a Bridge writes from then on. What was copied
// together with its origins from an earlier move does not.
func isEvidence(e domain.Entry) bool {
	return e.Late || e.Kind == domain.MovedHere && len(e.Origins) == 1
}

// isNoCopy says whether an entry was published on its own log.
func isNoCopy(e domain.Entry) bool { return e.Kind == domain.Record && len(e.Origins) == 0 }

// A subscription reads the old bus until it meets the mark, and then the new one.
type subscription struct {
	bus  *DualBus
	name string
	next domain.LogID
	ctx  context.Context
	out  chan *message.Message

	log      domain.LogID // what is read now
	endFirst context.CancelFunc
}

// first returns the context of the subscription to the first bus.
func (s *subscription) first() context.Context {
	ctx, cancel := context.WithCancel(s.ctx)
	s.endFirst = cancel
	return ctx
}

func (s *subscription) run(in <-chan *message.Message, here bool) {
	defer s.endFirst()
	if here {
		s.forward(in)
		return
	}
	for m := range in {
		batch, _ := domain.EntriesFrom(m.Context())
		end := s.mark(batch)
		if end < 0 {
			s.bus.echoes.hear(batch)
			if !s.pass(m) {
				return
			}
			continue
		}
		leave := batch[end]
		s.bus.echoes.hear(batch[:end])
		if end > 0 && !s.hand(batch[:end:end]) {
			return
		}
		m.Ack()
		s.endFirst()
		s.cross(leave)
		return
	}
}

// mark looks through a batch of the old bus for the mark. It is the mark of this
// move if it is no copy.
func (s *subscription) mark(batch []domain.Entry) (at int) {
	for i := range batch {
		switch e := &batch[i]; e.Kind {
		case domain.Start:
			s.log, e.Next = e.Log, s.next
		case domain.Gap:
			s.log = e.Log
		case domain.MovedAway:
			return i
		}
	}
	return -1
}

// cross goes on in the new log, from the copy of the mark on.
func (s *subscription) cross(leave domain.Entry) {
	mark := domain.Location{Log: s.log, Position: leave.Position}
	log := s.bus.cfg.Logger.With("topic", s.name)
	log.Info("the old bus has ended; waiting for the new one to begin")
	s.bus.note(s.name, func(t *topic) { t.since = time.Now() })
	age := slack
	if !leave.Time.IsZero() {
		age += max(0, time.Since(leave.Time))
	}
	in, ok := s.awaitMovedHere(age)
	if !ok {
		return
	}
	c := crossing{mark: mark}
	for m := range in {
		batch, _ := domain.EntriesFrom(m.Context())
		rest, there := c.look(batch)
		if there {
			if c.strange {
				log.Error("something was published on the new bus before its turn: clients are told a gap")
			}
			s.bus.note(s.name, func(t *topic) { t.here, t.since = true, time.Time{} })
			log.Info("the new bus has begun")
			s.bus.echoes.hear(rest)
			if !s.hand(rest) {
				return
			}
		}
		m.Ack()
		if there {
			s.forward(in)
			return
		}
	}
}

// awaitMovedHere subscribes to the new bus, as often as it takes.
func (s *subscription) awaitMovedHere(age time.Duration) (<-chan *message.Message, bool) {
	for pause := s.bus.cfg.RetryMin; ; pause = min(2*pause, s.bus.cfg.RetryMax) {
		in, err := s.bus.to.BatchesSince(age).Subscribe(s.ctx, s.name)
		if err == nil {
			return in, true
		}
		if s.ctx.Err() != nil {
			return nil, false
		}
		s.bus.cfg.Logger.Warn("the new bus does not confirm; trying again", "topic", s.name, "error", err)
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-timer.C:
		case <-s.ctx.Done():
		}
		timer.Stop()
	}
}

// A crossing looks for the copy of a mark.
type crossing struct {
	mark    domain.Location
	until   domain.Position // the new log's tail when it began to be read
	log     domain.LogID    // the new log
	strange bool            // something that is no copy stands before the mark's
}

// look returns what is to be handed on of a batch of the new log, and whether
// the copy was met: it is the first entry then, as a domain.Arrive. If
// continuity ends before it, it is not waited for: the rest follows a Gap.
func (c *crossing) look(batch []domain.Entry) (rest []domain.Entry, there bool) {
	for i := range batch {
		e := &batch[i]
		switch {
		case e.Kind == domain.Start:
			c.until, c.log = e.Tail, e.Log
		case e.Kind == domain.Gap && e.Origins == nil:
			return batch[i:], true
		case e.Kind == domain.MovedHere && e.Origins[0] == c.mark:
			e.Tail = max(e.Position, c.until)
			rest = append(rest, *e)
			if c.strange {
				rest = append(rest, domain.Entry{Kind: domain.Gap, Position: e.Position, Time: e.Time, Log: e.Log, Reason: domain.Lossy})
			}
			return append(rest, batch[i+1:]...), true
		case isNoCopy(*e):
			c.strange = true
		}
	}
	return nil, false
}

// forward passes on what comes in.
func (s *subscription) forward(in <-chan *message.Message) {
	for m := range in {
		batch, _ := domain.EntriesFrom(m.Context())
		s.bus.echoes.hear(batch)
		if !s.pass(m) {
			return
		}
	}
}

// pass passes on a message of one of the buses; that waits for its ack. It says
// whether ctx lasted.
func (s *subscription) pass(m *message.Message) bool {
	select {
	case s.out <- m:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// hand hands on a batch of our own until it is acked, and says whether ctx
// lasted.
func (s *subscription) hand(batch []domain.Entry) bool {
	for {
		m := message.NewMessageWithContext(domain.WithEntries(s.ctx, batch), fmt.Sprintf("%x", string(batch[len(batch)-1].Position)), nil)
		if !s.pass(m) {
			return false
		}
		select {
		case <-m.Acked():
			return true
		case <-m.Nacked():
		case <-s.ctx.Done():
			return false
		}
	}
}
