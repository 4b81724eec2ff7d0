package control

import (
	"math"
	"time"
)

// A speaker is the node that publishes events for all.
type speaker struct {
	self   bool          // it is this node
	synced bool          // this node has known the facts and all rows since it started or woke up
	since  time.Duration // when it became so

	inc      string        // the one before this node; "": none was heard of
	heard    time.Duration // when that one made the message that last said that it speaks
	unspoken int64         // and how old its oldest unpublished event was then, in ms
	knew     uint64        // the last message of this node that it can have heard by then

	// stepped is since when all rows have been known, and were when they changed, on
	// Now.Mono; -1: they are not.
	stepped time.Duration
	// contested says that what was told may not be true: another node spoke while this
	// one did, neither knowing of the other, as when the bus was not the same for both;
	// or this node has not seen all that the one before has told. The other one may have
	// said of users that they went, who are on nodes that it could not hear.
	contested bool
	announced time.Duration // when everybody was announced last for this reason
	muted     time.Duration // until when a node that has ceased to speak says that it did
}

// former takes note of a node that speaks.
func (s *speaker) former(inc string, heard time.Duration, unspoken int64, knew uint64) {
	s.inc, s.heard, s.unspoken, s.knew = inc, heard, unspoken, knew
}

// lastHeard returns when another speaker was heard last; far in the future if that does not
// matter.
func (s *speaker) lastHeard() time.Duration {
	if s.self || s.inc == "" {
		return math.MaxInt64
	}
	return s.heard
}

// claims reports whether the heartbeat says that this node speaks. For a while it does so
// after that has ended, too: whoever speaks instead then knows that two have spoken.
func (s *speaker) claims(mono time.Duration) bool { return s.self || mono < s.muted }

// speakMargin is how much more than it may have missed the next speaker repeats.
const speakMargin = time.Second

// electAfter is how long a node waits for another one to say that it is in step, too.
const electAfter = time.Second

// elect finds out whether this node speaks. One that does goes on until it hears of an
// earlier incarnation that does. One that does not begins when nobody does, if it is the
// earliest that could; or in place of a later one, if it has known all rows for so long
// that it has seen all that the later one may have told last.
func (m *Machine) elect() {
	s := &m.speaker
	s.follow(m)
	former := m.nodes.peers[s.inc]
	if former != nil && !former.speaks() {
		former = nil
	}
	steady := s.stepped >= 0 && m.now.Mono-s.stepped >= 2*m.cfg.Heartbeat
	speaks := s.synced && m.now.Mono-s.since >= electAfter && !m.self.leaving
	if former != nil && !s.self {
		speaks = speaks && steady && m.cfg.Incarnation < former.inc
	}
	for _, p := range m.nodes.list {
		if p.inc < m.cfg.Incarnation && p.beat != nil && (p.beat.speaks || p.beat.ready && !s.self) {
			speaks = false
		}
	}
	switch {
	case speaks && !s.self:
		m.beginToSpeak()
	case !speaks && s.self:
		s.former(m.cfg.Incarnation, m.now.Mono, m.presence.unspoken(m.now).Milliseconds(), m.self.seq+1)
		m.presence.mute(!s.synced)
		if s.synced && !m.self.leaving { // an earlier one speaks
			s.muted = m.now.Mono + 2*m.cfg.Heartbeat
		}
		m.beatSoon(0)
	}
	if s.self = speaks; !speaks {
		s.contested = false
	}
	if s.contested && m.nodes.inStep() && m.now.Mono >= s.announced+2*m.cfg.Heartbeat {
		s.contested, s.announced = false, m.now.Mono
		c := cause{m.cfg.Incarnation, m.self.seq + 1}
		m.presence.announce(m.now, m.presence.own.told(m.now, c, m.cfg.Grace))
	}
}

// follow takes note of since when all rows have been known.
func (s *speaker) follow(m *Machine) {
	if !m.nodes.inStep() {
		s.stepped = -1
		return
	}
	if s.stepped < 0 {
		s.stepped = m.now.Mono
	}
	alone := m.self.echoed && m.now.Mono-m.self.echoedAt >= aloneAfter
	if !s.synced && m.ready.is && alone {
		s.synced, s.since = true, m.now.Mono
		m.beatSoon(0)
	}
}

// beginToSpeak makes this node the speaker, of everything that the one before may not
// have told. What that one has told is what this one has seen only if it has known all rows
// since a grace before: who was told to have left may be back without having left here.
func (m *Machine) beginToSpeak() {
	s := &m.speaker
	since := time.Duration(0)
	if s.inc != "" {
		unspoken := min(time.Duration(s.unspoken)*time.Millisecond, time.Hour)
		since = max(0, s.heard-unspoken-speakMargin)
		s.contested = s.stepped < 0 || since < s.stepped+m.cfg.Grace
	}
	m.presence.speak(m.now, since, s.knew)
	m.beatSoon(0)
}
