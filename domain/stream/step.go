package stream

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// Step takes in the next entry that the bus carried. For a Record, m is the
// message that it was decoded to, nil if it could not be; for other kinds of
// entries, m is nil. The Stream owns what m and e point to from then on; it does
// not keep m and e themselves. A message without an id gets one that follows from its position.
//
// An entry that is no message still counts: cursors advance past it. The Outcome is that of
// a message; sessions are counted in it only as [Config].Traced says.
func (s *Stream) Step(e *domain.Entry, m *domain.Message) (o domain.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	switch e.Kind {
	case domain.Start:
		s.begin(e, now)
	case domain.Gap:
		s.stats.Gaps[e.Reason]++
		s.bus.target = "" // another log, or another position in it: the stream is ready here
		s.gap(e.Reason, s.history.NextPoint(e.Log, e.Position, e.Time, now), now)
	case domain.MovedAway:
		s.bus.movedAway = true
		s.stats.Gaps[domain.Lossy]++
		s.gap(domain.Lossy, s.history.NextPoint(s.history.Head().Log, e.Position, e.Time, now), now)
	case domain.MovedHere:
		s.move(e, now)
	default:
		o = s.take(e, m, now)
	}
	s.settleWaitlist()
	return o
}

// begin takes in that the bus has confirmed: what comes now follows the
// entry's position. If the feed begins in the past, to fill the window, the
// stream is ready when it has come to the tail.
func (s *Stream) begin(e *domain.Entry, now time.Time) {
	s.history.Expect(e.Next)
	p := s.history.NextPoint(e.Log, e.Position, e.Time, now)
	if head := s.history.Head(); s.bus.confirmed || !head.IsZero() {
		if p.Cursor != head.Cursor {
			s.gap(domain.Lossy, p, now)
		}
		return
	}
	s.bus.target = max(p.Position, e.Tail)
	s.history.Begin(p, now)
	s.bus.began = p.Cursor
	s.bus.began.Position = domain.Position(strings.Clone(string(p.Position)))
	s.confirm()
}

// confirm notes that the bus has confirmed the subscription when the stream
// has come to what was its tail then.
func (s *Stream) confirm() {
	if !s.bus.confirmed && s.history.Head().Position >= s.bus.target {
		s.bus.confirmed = true
		close(s.ready)
	}
}

// gap puts a gap into the window, which everyone crosses: live sessions now,
// the others when they get there.
func (s *Stream) gap(reason domain.GapReason, p history.Point, now time.Time) {
	s.noteLoss(reason, &p, now)
	n := s.history.AppendGap(reason, p, now)
	if !s.history.Continues(s.history.Start().Log) {
		s.backlog.lives++
	}
	s.confirm()
	at := s.history.Head().Cursor
	s.show(Interrupted, at, nil, reason)
	for _, m := range s.index.everyone.members {
		if a := m.of; a.live && !a.tell(reason, at) {
			a.fallBack(n)
		}
	}
	s.trim(now)
}

// move takes in that the bus was moved: what comes now follows the entry's
// position in its log, and the logs of the entry's origins end there. The
// stream may be in one of those logs, or in this one already.
func (s *Stream) move(e *domain.Entry, now time.Time) {
	p := s.history.NextPoint(e.Log, e.Position, e.Time, now, e.Origins...)
	was := s.history.Head().Log
	if changed := s.history.AppendMove(p, now); changed {
		s.bus.target = max(e.Position, e.Tail)
		s.bus.left = append(s.bus.left[max(0, len(s.bus.left)+1-maxLeft):], was)
	}
	s.confirm()
}

// take takes in a record or a control entry.
func (s *Stream) take(e *domain.Entry, m *domain.Message, now time.Time) (o domain.Outcome) {
	p := s.history.NextPoint(s.history.Head().Log, e.Position, e.Time, now)
	p.Origins = origins(e)
	if s.history.IsOwn(&p) {
		p.ID = uint64(e.Fingerprint)
	}
	if m == nil {
		s.stats.Skipped++
		s.history.Advance(p)
		s.show(Undecodable, p.Cursor, nil, "")
	} else {
		s.frames.when = metric.StampOf(e.Read)
		o = s.deliver(m, p, e.Time, now)
	}
	s.confirm()
	s.history.AddFingerprint(&p, now)
	return o
}

// origins returns the locations from which sessions can resume at an entry.
func origins(e *domain.Entry) []domain.Location {
	if e.Late {
		return nil
	}
	return e.Origins
}

// deliver puts a message into the window and offers it to the sessions that it
// is for, unless it is expired or a repetition. The log took it at time t.
func (s *Stream) deliver(m *domain.Message, p history.Point, t, now time.Time) domain.Outcome {
	if !history.Plausible(t) {
		t = now
	}
	if m.Expired(t, now) {
		s.skipExpired(m, p.Cursor)
		s.arrived(m, p.Cursor)
		s.stats.Expired++
		s.history.Advance(p)
		s.show(PastTTL, p.Cursor, m, "")
		return domain.Outcome{Expired: true}
	}
	if s.isDuplicate(m, &p, now) {
		s.stats.Duplicates++
		s.arrived(m, domain.Cursor{})
		s.history.Advance(p)
		s.show(Repeated, p.Cursor, m, "")
		return domain.Outcome{Duplicate: true}
	}
	if !s.history.IsOwn(&p) {
		p.ID = domain.HashID(m.ID)
	}
	s.stats.Delivered++
	setTime(m, p.Time)
	n := s.history.Append(m, p, now)
	s.show(Taken, p.Cursor, m, "")
	s.offer(n, m, p.Cursor)
	s.arrived(m, p.Cursor)
	var o domain.Outcome
	if s.cfg.Traced && domain.IsSampled(m.Traceparent) {
		o = s.outcome(m)
	}
	s.trim(now)
	return o
}

// isDuplicate reports whether m has come before. A message without an id has
// not; it gets one.
func (s *Stream) isDuplicate(m *domain.Message, p *history.Point, now time.Time) bool {
	if m.ID == "" {
		setID(m, p)
		return false
	}
	if s.cfg.Budget.farOver() {
		s.stats.Forgotten += uint64(s.dedupe.Squeeze())
	}
	verdict, forgotten := s.dedupe.Check(m, p.Time, now)
	if forgotten {
		s.stats.Forgotten++
	}
	if verdict == history.Conflict {
		s.stats.Conflicts++
	}
	return verdict == history.Duplicate
}

// setID gives a message without an id the one that follows from its position,
// which is the same on every node.
func setID(m *domain.Message, p *history.Point) {
	if m.ID == "" {
		m.ID = hex.EncodeToString([]byte(p.Published()))
	}
}

// setTime gives a message without a time that of the log.
func setTime(m *domain.Message, t time.Time) {
	if m.Time.IsZero() {
		m.Time = t
	}
}

// offer offers m, which is entry n, to the live sessions that it is for.
func (s *Stream) offer(n uint64, m *domain.Message, at domain.Cursor) {
	matched, note := false, s.note(m, at)
	for _, t := range m.To {
		g := s.index.groups[t]
		if g == nil || len(g.members) == 0 {
			continue
		}
		matched = true
		var enc Encoder // of the member before, and what it made
		var f Frame
		for i := range g.members {
			a := g.members[i].of
			if !a.live || a.offered > n {
				continue
			}
			if a.offered = n + 1; a.enc != enc {
				enc, f = a.enc, s.liveFrame(m, a.enc, t, at)
			}
			if !a.send(f, note) {
				a.fallBack(n)
			}
		}
		s.frames.forgetLive()
	}
	if matched {
		s.stats.Matched++
	}
}
