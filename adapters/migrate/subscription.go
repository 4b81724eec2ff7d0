package migrate

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// A subscription reads the old bus up to the mark, and then the new bus from the
// mark's copy on. If the topic has moved before, it reads the new bus only.
type subscription struct {
	bus    *DualBus
	topic  string
	newLog domain.LogID
	ctx    context.Context
	out    chan *message.Message

	log      domain.LogID // the log that is read from the old bus
	endFirst context.CancelFunc
}

// contextOfFirst returns the context of the subscription to the first bus, which
// endFirst cancels.
func (s *subscription) contextOfFirst() context.Context {
	ctx, cancel := context.WithCancel(s.ctx)
	s.endFirst = cancel
	return ctx
}

func (s *subscription) run(in <-chan *message.Message, moved bool) {
	defer s.endFirst()
	if moved {
		s.forwardAll(in)
		return
	}
	for m := range in {
		batch, _ := domain.EntriesFrom(m.Context())
		log := s.log
		at := s.findCutoverMark(batch)
		if at < 0 {
			s.bus.readbacks.observe(log, batch)
			if !s.forward(m) {
				return
			}
			continue
		}
		cutoverMark := batch[at]
		s.bus.readbacks.observe(log, batch[:at])
		if at > 0 && !s.deliver(batch[:at:at]) {
			return
		}
		m.Ack()
		s.endFirst()
		s.switchToNew(cutoverMark)
		return
	}
}

// findCutoverMark returns the index of the mark in a batch from the old bus, or -1. An
// entry of the kind MovedAway is always the mark of this move, since the copies
// of earlier marks are of other kinds. On the way it notes the log that is read,
// and tells readers in each Start which log comes next.
func (s *subscription) findCutoverMark(batch []domain.Entry) int {
	for i := range batch {
		switch e := &batch[i]; e.Kind {
		case domain.Start:
			s.log, e.Next = e.Log, s.newLog
		case domain.Gap:
			s.log = e.Log
		case domain.MovedAway:
			return i
		}
	}
	return -1
}

// switchToNew continues on the new bus, from the mark's copy on.
func (s *subscription) switchToNew(cutoverMark domain.Entry) {
	log := s.bus.cfg.Logger.With("topic", s.topic)
	log.Info("the old bus has ended; waiting for the new one to begin")
	s.bus.updateTopic(s.topic, func(t *topicState) { t.awaitsCutoverMark = time.Now() })
	age := clockSlack
	if !cutoverMark.Time.IsZero() {
		age += max(0, time.Since(cutoverMark.Time))
	}
	in, ok := s.subscribeToNew(age)
	if !ok {
		return
	}
	search := cutoverMarkSearch{cutoverMark: domain.Location{Log: s.log, Position: cutoverMark.Position}}
	for m := range in {
		batch, _ := domain.EntriesFrom(m.Context())
		rest, found := search.in(batch)
		if found {
			if search.ownRecord {
				log.Error("something was published on the new bus before its turn: clients are told a gap")
			}
			s.bus.updateTopic(s.topic, func(t *topicState) { t.moved, t.awaitsCutoverMark = true, time.Time{} })
			log.Info("the new bus has begun")
			s.newLog = s.bus.readbacks.observe(s.newLog, rest)
			if !s.deliver(rest) {
				return
			}
		}
		m.Ack()
		if found {
			s.forwardAll(in)
			return
		}
	}
}

// subscribeToNew subscribes to the new bus, and retries until it succeeds or the
// subscription ends.
func (s *subscription) subscribeToNew(age time.Duration) (in <-chan *message.Message, ok bool) {
	backoff := pause.Backoff{Min: s.bus.cfg.RetryMin, Max: s.bus.cfg.RetryMax}
	for {
		in, err := s.bus.to.BatchesSince(age).Subscribe(s.ctx, s.topic)
		if err == nil {
			return in, true
		}
		if s.ctx.Err() != nil {
			return nil, false
		}
		s.bus.cfg.Logger.Warn("the new bus does not confirm; trying again", "topic", s.topic, "error", err)
		backoff.Wait(s.ctx)
	}
}

// forwardAll forwards everything that the bus sends.
func (s *subscription) forwardAll(in <-chan *message.Message) {
	for m := range in {
		batch, _ := domain.EntriesFrom(m.Context())
		s.newLog = s.bus.readbacks.observe(s.newLog, batch)
		if !s.forward(m) {
			return
		}
	}
}

// forward sends a bus's message to the subscriber, and reports whether ctx is
// still alive. It does not wait for the ack, since the bus does.
func (s *subscription) forward(m *message.Message) bool {
	select {
	case s.out <- m:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// deliver sends a batch to the subscriber as a message of its own, again after
// each nack until there is an ack. It reports whether ctx is still alive.
func (s *subscription) deliver(batch []domain.Entry) bool {
	id := fmt.Sprintf("%x", string(batch[len(batch)-1].Position))
	for {
		m := message.NewMessageWithContext(domain.WithEntries(s.ctx, batch), id, nil)
		if !s.forward(m) {
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

// A cutoverMarkSearch looks for the mark's copy on the new bus.
type cutoverMarkSearch struct {
	cutoverMark domain.Location // in the old log
	tail        domain.Position // the new log's tail when reading began
	ownRecord   bool            // a record that is no copy came before the mark's copy
}

// in looks for the mark's copy in the next batch of the new bus. If found, it
// returns the entries for the subscriber, of which the mark's copy is the first,
// as a MovedHere. If there is a gap before the copy, the copy may be lost in it.
// Then found is true as well, and the gap is the first entry.
func (s *cutoverMarkSearch) in(batch []domain.Entry) (rest []domain.Entry, found bool) {
	for i := range batch {
		e := &batch[i]
		switch {
		case e.Kind == domain.Start:
			s.tail = e.Tail
		case e.Kind == domain.Gap && e.Origins == nil:
			return batch[i:], true
		case e.Kind == domain.MovedHere && e.Origins[0] == s.cutoverMark:
			e.Tail = max(e.Position, s.tail)
			rest = append(rest, *e)
			if s.ownRecord {
				rest = append(rest, domain.Entry{
					Kind: domain.Gap, Position: e.Position, Time: e.Time, Log: e.Log, Reason: domain.Lossy,
				})
			}
			return append(rest, batch[i+1:]...), true
		case isOwnRecord(e):
			s.ownRecord = true
		}
	}
	return nil, false
}
