package stream

import "time"

// trim keeps the window within its bounds. The newest entry always stays.
func (s *Stream) trim(now time.Time) {
	s.settleAccount()
	for s.history.Len() > 1 && s.mustTrim(now) {
		s.trimOne()
	}
}

func (s *Stream) mustTrim(now time.Time) bool {
	return s.history.Len() > s.cfg.Messages || s.cfg.Budget.over(s.history.EntryBytes()) ||
		now.Sub(s.history.At(s.history.First()).Added) > s.cfg.Age
}

func (s *Stream) trimOne() {
	n, e := s.history.DropOldest()
	s.cfg.Budget.add(-e.Size)
	for _, g := range e.Payload.groups {
		g.entries.DropFirst(n)
		s.weigh(g)
		s.index.dropIfEmpty(g)
	}
	s.settleAccount()
}

// release gives back what the stream has of the node's budget for windows. Of
// the other it has nothing without sessions.
func (s *Stream) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.history.Len() > 0 {
		s.trimOne()
	}
	s.cfg.Budget.add(-s.charged)
	s.charged = 0
}
