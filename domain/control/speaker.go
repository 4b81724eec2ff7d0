package control

import "time"

// A speaker is the node that publishes events for all.
type speaker struct {
	self   bool          // it is this node
	synced bool          // this node has known the facts and all rows since it started or woke up
	since  time.Duration // when it became so

	inc      string        // the one before this node; "": none was heard of
	heard    time.Duration // when that one last said that it speaks
	unspoken int64         // and how old its oldest unpublished event was then, in ms
}

// former takes note of a node that speaks.
func (s *speaker) former(inc string, heard time.Duration, unspoken int64) {
	s.inc, s.heard, s.unspoken = inc, heard, unspoken
}

// speakMargin is how much more than it may have missed the next speaker repeats.
const speakMargin = time.Second

// electAfter is how long a node waits for another one to say that it is in step, too.
const electAfter = time.Second

// elect finds out whether this node speaks: it has the smallest incarnation of those that
// are in step.
func (m *Machine) elect() {
	s := &m.speaker
	alone := m.self.echoed && m.now.Mono-m.self.echoedAt >= aloneAfter
	if !s.synced && m.ready.is && alone && m.nodes.inStep() {
		s.synced, s.since = true, m.now.Mono
		m.beatSoon(0)
	}
	speaks := s.synced && m.now.Mono-s.since >= electAfter && !m.self.leaving
	for _, p := range m.nodes.list {
		if p.inc < m.cfg.Incarnation && p.beat != nil && p.beat.ready {
			speaks = false
		}
	}
	switch {
	case speaks && !s.self:
		since := time.Duration(0)
		if s.inc != "" {
			since = max(0, s.heard-min(time.Duration(s.unspoken)*time.Millisecond, time.Hour)-speakMargin)
		}
		m.presence.speak(m.now, since)
		m.beatSoon(0)
	case !speaks && s.self:
		s.former(m.cfg.Incarnation, m.now.Mono, m.presence.unspoken(m.now).Milliseconds())
		m.presence.mute()
		m.beatSoon(0)
	}
	s.self = speaks
}
