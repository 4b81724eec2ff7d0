package stream

import (
	"time"

	"github.com/fanfarebus/fanfare/domain/history"
)

// trim keeps the window within its bounds. The newest entry always stays.
func (s *Stream) trim(now time.Time) {
	s.settleAccount()
	for s.history.Len() > 1 && s.mustTrim(now) {
		s.trimOne()
	}
}

func (s *Stream) mustTrim(now time.Time) bool {
	return s.history.Len() > min(s.cfg.Messages, history.MaxEntries) ||
		s.cfg.Budget.over(s.history.EntryBytes()) || now.Sub(s.history.Oldest()) > s.cfg.Age
}

func (s *Stream) trimOne() {
	s.history.DropOldest()
	s.settleAccount()
}

// release gives back what the stream has of the node's budget for windows. Of
// the other it has nothing without sessions.
func (s *Stream) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Budget.add(-int(s.stats.Bytes))
	s.stats.Bytes = 0
}
