package stream

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Landmarks find the places in a window that other nodes know, too. They are
// kept in their order and never outlast the window.
type landmarks struct {
	queue []landmark
	gone  int               // how many of the queue were forgotten
	next  map[uint64]uint64 // name: number of the first entry behind it
	peak  int               // see shrunk
}

type landmark struct{ name, next uint64 }

func (l *landmarks) add(name, next uint64) {
	if l.next == nil {
		l.next = make(map[uint64]uint64)
	}
	if len(l.queue) == cap(l.queue) && l.gone > len(l.queue)/2 {
		l.queue, l.gone = append(l.queue[:0], l.queue[l.gone:]...), 0
	}
	l.queue = append(l.queue, landmark{name, next})
	l.next[name] = next
	l.peak = max(l.peak, len(l.next))
}

// size is what they take.
func (l *landmarks) size() int { return 2*wordSize*cap(l.queue) + (2*wordSize+mapSlot)*l.peak }

// behind returns the number of the first entry behind the landmark, if all from
// there on are in a window that begins at base.
func (l *landmarks) behind(name, base uint64) (n uint64, ok bool) {
	n, ok = l.next[name]
	return n, ok && n >= base
}

// trim forgets what the window no longer leads on from, and all but the newest
// most.
func (l *landmarks) trim(base uint64, most int) {
	for l.gone < len(l.queue) && (l.queue[l.gone].next < base || len(l.queue)-l.gone > most) {
		m := l.queue[l.gone]
		if l.next[m.name] == m.next {
			delete(l.next, m.name)
		}
		l.gone++
	}
	if live := len(l.queue) - l.gone; cap(l.queue) > 64 && 4*live < cap(l.queue) {
		l.queue, l.gone = append(make([]landmark, 0, 2*live), l.queue[l.gone:]...), 0
	}
	l.next = shrunk(l.next, &l.peak)
}

// DeliverAt is Deliver on a bus without a log: other nodes know the place by
// the landmark.
func (s *Stream) DeliverAt(mark domain.Fingerprint, t time.Time, m *domain.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliver(s.placed(mark, t), t, m)
}

// SkipAt is Skip on a bus without a log.
func (s *Stream) SkipAt(mark domain.Fingerprint, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skip(s.placed(mark, t))
}

// placed makes a place of our own counting that others know by the landmark.
func (s *Stream) placed(mark domain.Fingerprint, t time.Time) spot {
	c := s.cursor(0, "", t)
	c.ID = uint64(mark)
	return spot{Cursor: c}
}

// know lets sessions that come from other nodes find the place. They are to see
// nothing twice, so it is good only if this stream recognises what may have
// been delivered elsewhere before: when it has heard everything for as long as
// it remembers ids.
func (s *Stream) know(c domain.Cursor, now time.Time) {
	if c.Log == s.own && c.ID != 0 && now.After(s.sure) {
		s.known.add(c.ID, s.window.head)
		s.trimLandmarks()
	}
}

func (s *Stream) trimLandmarks() {
	s.known.trim(s.window.base, s.cfg.Messages+1) // one more: that before the oldest entry
}
