package stream

import (
	"encoding/binary"
	"encoding/hex"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Stream keeps the newest entries of one system and the sessions attached
// to it, and brings the one to the other. It is safe for concurrent use; one
// feed delivers to it.
type Stream struct {
	system domain.System
	cfg    Config
	ready  chan struct{} // closed by Begin

	mu        sync.Mutex // guards everything below
	window    window
	index     map[domain.Target]*group
	indexPeak int // see shrunk
	account   account
	everyone  *group  // index[domain.Everyone]: every attachment is in it
	gaps      numbers // the window's gaps
	dedupe    dedupe
	known     landmarks
	sure      time.Time // from when on landmarks are good: see know
	clock     clock
	waiting   []*Attachment // attached before the stream knows where they are
	early     early         // when they are worth looking at; zero: always
	past      past

	down    bool      // the bus cannot be reached
	asked   time.Time // since when the bus, which can be reached, is asked to confirm
	begun   bool
	target  domain.Position // what begun waits for
	tip     spot            // everything up to here was seen
	floor   spot            // the window is complete behind this
	next    domain.LogID    // will follow when the bus is moved; 0 if none is known
	left    bool            // the bus was moved without us
	seam    uint64          // number of the entry at which tip.Log went on for another, if any
	stretch stretches
	epoch   uint64       // number of the gap at which tip.Log began, if any
	lived   span         // positions that came up before the log went back to an earlier one
	ordinal uint64       // counts entries, for positions where the bus has none
	own     domain.LogID // identifies those positions
	mark    uint64       // see groups
	stats   Stats
}

// New returns an empty Stream of the system.
func New(system domain.System, cfg Config) *Stream {
	cfg = cfg.withDefaults()
	s := &Stream{
		system: system,
		cfg:    cfg,
		ready:  make(chan struct{}),
		index:  make(map[domain.Target]*group),
		dedupe: newDedupe(cfg.DedupeSize, cfg.DedupeAge),
		own:    domain.NewLogID(domain.NewID()),
		asked:  cfg.Now(),
		epoch:  math.MaxUint64,
		seam:   math.MaxUint64,
		window: window{base: firstNumber, head: firstNumber},
		past:   past{wake: make(chan struct{}, 1)},
		stats:  Stats{Breaks: make(map[domain.GapReason]uint64), Told: make(map[domain.GapReason]uint64)},
	}
	s.everyone = s.group(domain.Everyone)
	return s
}

// System returns the system's name.
func (s *Stream) System() domain.System { return s.system }

// Ready is closed when the bus has confirmed the subscription: what is
// published from then on arrives.
func (s *Stream) Ready() <-chan struct{} { return s.ready }

// Begin says that the bus has confirmed, and that what is delivered from now
// on follows the position. Sessions that attached before learn that they may
// have missed something.
func (s *Stream) Begin(log domain.LogID, at domain.Position, t time.Time) {
	s.BeginUntil(log, at, t, at)
}

// BeginUntil is Begin for a feed that starts in the past, to fill the window:
// the stream is ready when it has got to the position tail.
func (s *Stream) BeginUntil(log domain.LogID, at domain.Position, t time.Time, tail domain.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cursor(log, at, t)
	if s.begun || !s.tip.IsZero() {
		if c != s.tip.Cursor {
			s.gap(domain.Lossy, c)
		}
		return
	}
	s.floor, s.target = spot{Cursor: c}, max(c.Position, tail)
	s.sure = s.cfg.Now().Add(s.cfg.DedupeAge)
	s.pass(s.floor)
	s.settleWaiting()
}

// Break says that continuity ended: what is delivered from now on follows the
// position in log, and what came before it since the last delivery is lost.
func (s *Stream) Break(reason domain.GapReason, log domain.LogID, at domain.Position, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Breaks[reason]++
	s.target = "" // another log, or another place in it: begin here
	s.gap(reason, s.cursor(log, at, t))
}

// Skip passes over an entry that is no message, so that cursors advance. Also
// is where it was in the logs that it was copied from.
func (s *Stream) Skip(at domain.Position, t time.Time, also ...domain.Location) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skip(spot{s.cursor(s.tip.Log, at, t), also})
}

func (s *Stream) skip(c spot) {
	s.stats.Skipped++
	s.pass(c)
	s.know(c.Cursor, s.cfg.Now())
	s.settleWaiting()
}

// Deliver adds a message to the window and offers it to the sessions it is
// for. The Stream owns m from then on. A message without an id gets one. The
// position is empty on a bus without a log; t, if zero, is now. Also is where
// the message was in the logs that it was copied from.
func (s *Stream) Deliver(at domain.Position, t time.Time, m *domain.Message, also ...domain.Location) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliver(spot{s.cursor(s.tip.Log, at, t), also}, t, m)
}

func (s *Stream) deliver(c spot, t time.Time, m *domain.Message) {
	now := s.cfg.Now()
	if !plausible(t) {
		t = now
	}
	s.take(c, t, now, m)
	s.know(c.Cursor, now)
	s.settleWaiting()
}

func (s *Stream) take(c spot, t, now time.Time, m *domain.Message) {
	if m.Expired(t, now) {
		s.stats.Expired++
		s.pass(c)
		return
	}
	if !s.name(m, c, now) {
		s.stats.Duplicates++
		s.pass(c)
		return
	}
	if c.Log != s.own {
		c.ID = domain.HashID(m.ID)
	}
	s.stats.Delivered++
	s.offer(s.append(m, c, now))
	s.trim(now)
}

// Sweep drops what is older than the window's age. Call it now and then:
// Deliver does the same, but a quiet system has none.
func (s *Stream) Sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trim(s.cfg.Now())
	s.settleWaiting()
}

// Stats returns what the Stream has counted.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Breaks, st.Told = maps.Clone(st.Breaks), maps.Clone(st.Told)
	st.Sessions = len(s.everyone.members)
	for _, m := range s.everyone.members {
		if !m.of.live {
			st.Behind++
		}
	}
	st.Replaying = len(s.past.waiting) + len(s.past.lost)
	st.Entries, st.Bytes = s.window.len(), int64(s.window.bytes+s.account.charged)
	return st
}

// cursor makes a place of what a transport says, or of our own counting if
// the bus has no positions.
func (s *Stream) cursor(log domain.LogID, at domain.Position, t time.Time) domain.Cursor {
	if at == "" {
		s.ordinal++
		log, at = s.own, domain.Position(binary.BigEndian.AppendUint64(nil, s.ordinal))
	}
	if !plausible(t) {
		t = s.cfg.Now()
	}
	// Cursors carry milliseconds; so must we, for them to be comparable.
	return domain.Cursor{Log: log, Position: at, Time: t.Truncate(time.Millisecond).UTC()}
}

// name gives m an id if it has none, and says whether it is to be delivered.
func (s *Stream) name(m *domain.Message, c spot, now time.Time) bool {
	if m.ID == "" {
		nameAfter(m, c)
		return true
	}
	if s.cfg.Budget.farOver() {
		s.stats.Forgotten += uint64(s.dedupe.squeeze())
	}
	v, forgotten := s.dedupe.check(m, s.clock.at(c.Time, now))
	if forgotten {
		s.stats.Forgotten++
	}
	if v == conflict {
		s.stats.Conflicts++
	}
	return v != duplicate
}

// nameAfter gives a message without an id the one that its position makes.
func nameAfter(m *domain.Message, at spot) {
	if m.ID == "" {
		m.ID = hex.EncodeToString([]byte(at.first()))
	}
}

// date gives a message without a time the log's.
func date(m *domain.Message, t time.Time) {
	if m.Time.IsZero() {
		m.Time = t
	}
}

// pass moves the tip, and with it, the first time, the stream to being ready.
func (s *Stream) pass(c spot) {
	s.tip = c
	for _, p := range c.also {
		s.learn(p.Log)
	}
	if !s.begun && c.Position >= s.target {
		s.begun = true
		close(s.ready)
	}
}

// append puts m into the window and returns its number.
func (s *Stream) append(m *domain.Message, c spot, now time.Time) uint64 {
	date(m, c.Time)
	e := entry{spot: c, msg: m, added: now, groups: s.groups(m)}
	e.size = m.Size() + c.size() + domain.HeapSize(wordSize*cap(e.groups))
	for _, g := range e.groups {
		s.note(g, s.window.head)
	}
	s.pass(c)
	s.cfg.Budget.add(e.size)
	return s.push(e)
}

// push puts e into the window and returns its number.
func (s *Stream) push(e entry) uint64 {
	s.stretch.push(s.window.head, &e.spot)
	return s.window.push(e)
}

// offer brings entry n, a message, to the live sessions it is for.
func (s *Stream) offer(n uint64) {
	e := s.window.at(n)
	matched := false
	for _, g := range e.groups {
		for _, m := range g.members {
			a := m.of
			matched = true
			if !a.live || a.offered > n {
				continue
			}
			a.offered = n + 1
			if !a.send(s.frame(e, a.enc, g.target, true)) {
				a.fallBack(n)
			}
		}
	}
	if matched {
		s.stats.Matched++
	}
}

// gap puts a gap into the window: the place where continuity ended. Everyone
// crosses it, now or when they get there.
func (s *Stream) gap(reason domain.GapReason, c domain.Cursor) {
	now := s.cfg.Now()
	if c.Log == s.own {
		c.ID = s.tip.ID // who has come to the gap has seen all that is named so
	}
	e := entry{spot: spot{Cursor: c}, reason: reason, added: now}
	e.size = e.spot.size()
	s.past.surveyed = false // there may be copies in what was missed
	if back := s.cfg.HasLog && c.Position < s.tip.Position; back || c.Log != s.tip.Log {
		s.past.forgetLog()
		s.epoch, s.lived = s.window.head, span{}
		if c.Log == s.tip.Log {
			s.lived = span{c.Position, s.tip.Position}
		}
	}
	s.pass(e.spot)
	s.sure = now.Add(s.cfg.DedupeAge)
	s.cfg.Budget.add(e.size)
	n := s.push(e)
	s.gaps.push(n)
	for _, m := range s.everyone.members {
		a := m.of
		if !a.live {
			continue
		}
		if !a.tell(reason, c) {
			a.fallBack(n)
		}
	}
	s.trim(now)
	s.settleWaiting()
}
