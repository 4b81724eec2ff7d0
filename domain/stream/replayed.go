package stream

import (
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A replayed message was read from the log again. Its riders share it.
type replayed struct {
	history.Point
	message *domain.Message
	added   time.Time // when it was read
	takers  int       // riders that have it in their queues
	kept    bool      // it is a copy, and keeps nothing else alive
	size    int       // bytes that it takes of the budget while it has takers
	frames  []sharedFrame
}

// replayedSize is what one takes beside its message and point, and slotSize what
// it takes in a queue.
const (
	replayedSize = 160
	slotSize     = 2 * wordSize
)

func (b *Backfill) newReplayed(e *domain.Entry, m *domain.Message, now time.Time) *replayed {
	p := history.Point{Origins: origins(e)}
	p.Cursor = domain.Cursor{Log: b.at.Log, Position: e.Position, Time: logTime(e.Time, now)}
	setID(m, &p)
	p.ID = domain.HashID(m.ID)
	setTime(m, p.Time)
	return &replayed{Point: p, message: m, added: now, size: m.Size() + p.Size() + replayedSize}
}

// expired is history.Entry.Expired for a message that was read again. Where the log
// has no time for it, the ttl counts from when it was read.
func (m *replayed) expired(now time.Time) bool {
	since := m.Time
	if since.IsZero() || since.After(m.added) {
		since = m.added
	}
	return m.message.Expired(since, now)
}

// keep copies what the message shares with others that were read with it, of
// which few may be for a rider.
func (m *replayed) keep() {
	m.kept = true
	m.message = m.message.Clone()
	m.Position = domain.Position(strings.Clone(string(m.Position)))
	m.Origins = slices.Clone(m.Origins)
	for i := range m.Origins {
		m.Origins[i].Position = domain.Position(strings.Clone(string(m.Origins[i].Position)))
	}
}

// frameOf returns a message's frame for a target, which sessions of a room share.
func (s *Stream) frameOf(m *replayed, enc Encoder, to domain.Target) Frame {
	if f, ok := sharedIn(m.frames, enc, to); ok {
		return f
	}
	f := m.encode(s, enc, to, m.Cursor)
	if shared := to.Kind() == domain.KindRoom || to == domain.Everyone; shared && len(m.frames) < maxSharedFrames {
		m.frames = append(m.frames, sharedFrame{enc, to, f})
	}
	return f
}

// encode has the message encoded. Nothing else that was read with it stays alive
// for the frame.
func (m *replayed) encode(s *Stream, enc Encoder, to domain.Target, at domain.Cursor) Frame {
	f := enc.Message(s.system, m.message, to, at)
	f.Message = true
	if !m.kept {
		f.disown(m.message)
	}
	return f
}
