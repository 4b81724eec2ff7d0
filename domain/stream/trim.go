package stream

import (
	"math"
	"time"
)

// trim keeps the window within its bounds. The newest entry always stays.
func (s *Stream) trim(now time.Time) {
	s.settleAccount()
	for s.window.len() > 1 && s.mustTrim(now) {
		s.trimOne()
	}
	s.tellHolder()
	s.trimLandmarks()
}

func (s *Stream) mustTrim(now time.Time) bool {
	if s.past.mustKeep(s, now) {
		return false
	}
	return s.past.spent(s) || s.window.len() > s.cfg.Messages || s.cfg.Budget.over(s.window.bytes) ||
		now.Sub(s.window.at(s.window.base).added) > s.cfg.Age
}

func (s *Stream) trimOne() {
	n := s.window.base
	e := s.window.pop()
	s.budget(&e).add(-e.size)
	s.floor = e.spot
	s.stretch.trim(s.window.base)
	if n == s.epoch {
		s.epoch = math.MaxUint64
	}
	if n == s.seam {
		s.seam = math.MaxUint64
	}
	if e.msg == nil {
		s.gaps.dropFirst(n)
		return
	}
	for _, g := range e.groups {
		g.entries.dropFirst(n)
		s.weigh(g)
		s.drop(g)
	}
	s.settleAccount()
}

func (s *Stream) budget(e *entry) *Budget {
	if e.past {
		return s.cfg.Past
	}
	return s.cfg.Budget
}

// release gives back what the window held of the node's budget.
func (s *Stream) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.window.len() > 0 {
		s.trimOne()
	}
	s.tellHolder()
	s.cfg.Budget.add(-s.account.charged)
	s.account.charged = 0
}
