package stream

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// An Attachment is one session's part in one [Stream]. Its methods may be
// called concurrently, but never from inside [Outbox.Offer].
//
// It is in one of three states. Live: the stream offers it each entry as it
// comes. Behind: it holds only its place in the window, and is offered what it
// missed by [Attachment.Fill]. Waiting: it waits until the stream has come to
// its cursor, or until the log has been read again from there. An attachment
// that is behind has either frames in its outbox or an owner that is about to
// call Fill, so that it cannot be forgotten.
type Attachment struct {
	stream *Stream
	asker  Asker // never changes
	out    Outbox
	enc    Encoder
	page   *Page // nil for a session; never changes

	// Everything below is guarded by stream.mu.

	members  []*membership
	live     bool
	held     bool // nothing is offered before the first Fill
	detached bool
	next     uint64 // when behind: the first entry not offered yet
	first    uint64 // where the session began
	offered  uint64 // 1 + the newest entry that was offered live

	waiting bool
	since   domain.Cursor // when waiting: the cursor that the session, or what it joins, is at
	ride    *ride         // when waiting: its part in a reading of the log; nil if it has none
	rode    bool          // it was offered something that was read again
	until   time.Time     // when waiting: until when the cursor is believed; zero while that does not count

	cameWith bool   // the session continues after a cursor that its client showed, or was told why not
	trail    *trail // what was out of the ordinary on its way; nil if nothing was

	pendingGap   domain.GapReason // a gap that the session is told before anything else; "" for none
	pendingGapAt domain.Cursor

	joining    *membership // when waiting: the target that waits; nil for all of them
	othersNext uint64      // when joining: where the other targets are
	notice     Frame       // offered when the joined target has caught up; none if empty
	noticeAt   uint64      // before this entry; messages offered until then have no cursors
}

// Attach registers a session for its targets, and for [domain.Everyone]. If
// since is not zero, the session continues after that cursor; if it cannot, it
// will be told a gap. Nothing is offered before the first Fill. What is read
// again from the log for the session is charged to the asker.
//
// The returned cursor is where the session begins; zero while the bus has not
// confirmed. The result resumed reports whether since was honoured.
func (s *Stream) Attach(
	asker Asker, out Outbox, enc Encoder, since domain.Cursor, targets ...domain.Target,
) (a *Attachment, at domain.Cursor, resumed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a = &Attachment{
		stream: s, asker: asker, out: out, enc: enc, held: true, cameWith: !since.IsZero(),
		members: make([]*membership, 0, len(targets)+1),
		next:    s.history.Next(), first: s.history.Next(),
	}
	after := s.headLocation()
	if !since.IsZero() {
		after = domain.Location{Log: since.Log, Position: since.Position}
	}
	a.enter(domain.Everyone, 0, after)
	for _, t := range targets {
		a.enter(t, 0, after)
	}
	switch {
	case !s.bus.confirmed:
		a.wait(since)
		return a, domain.Cursor{}, false
	case since.IsZero():
		return a, s.history.Head().Cursor, false
	}
	at, resumed = a.resume(since)
	return a, at, resumed
}

// BeginsUnseen notes that the client has not shown the cursor after which the session began:
// so nobody knows what it has had before that.
func (a *Attachment) BeginsUnseen() {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	a.cameWith = false
}

// Fill offers what the session has not been offered yet, until the outbox is
// full or nothing is left. In the latter case the session is live from then
// on, and Fill returns true.
func (a *Attachment) Fill() (live bool) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	a.held = false
	return a.fill()
}

// Join adds a target: entries for it that come from now on are offered.
func (a *Attachment) Join(t domain.Target) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	if a.detached {
		return
	}
	m := a.enter(t, a.stream.history.Next(), a.stream.headLocation())
	if m != nil && a.joining == nil && a.ride != nil && a.ride.on != nil {
		a.ride.want(m) // the window may have moved on when the reading comes to it
	}
}

// JoinSince is [Attachment.Join] for a target that the session has had before,
// up to since: the session is offered first what it missed there, or told a
// gap, and then done. Messages that it is offered until done have no cursors,
// as the session's own cursor is another.
//
// It returns false if the session itself waits, for its own cursor or for
// another target's: try again later.
func (a *Attachment) JoinSince(t domain.Target, since domain.Cursor, done Frame) bool {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	if a.waiting || a.detached || len(a.notice.Bytes) > 0 {
		return false
	}
	a.othersNext = a.next
	if a.live {
		a.othersNext, a.live = a.stream.history.Next(), false
	}
	a.next = a.othersNext
	a.notice, a.noticeAt = done, a.othersNext
	after := domain.Location{Log: since.Log, Position: since.Position}
	if m := a.enter(t, a.stream.history.Next(), after); m != nil {
		for _, other := range a.members {
			if other != m {
				other.wasOfferedFrom(a.first, a.othersNext)
			}
		}
		m.offeredFrom, m.replayed = math.MaxUint64, true
		a.joining = m
		a.resume(since)
	}
	if !a.waiting && !a.held {
		a.fill()
	}
	return true
}

// Leave removes a target that Join or JoinSince added.
func (a *Attachment) Leave(t domain.Target) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	for i, m := range a.members {
		if m.target == t && t != domain.Everyone {
			a.noteLeft(m)
			a.members = slices.Delete(a.members, i, i+1)
			a.exit(m)
			return
		}
	}
}

// Cursor returns the cursor up to which the session has been offered all there
// was. The result ok is false while it is behind or waiting, or the bus has not confirmed.
func (a *Attachment) Cursor() (c domain.Cursor, ok bool) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	return a.stream.history.Head().Cursor, a.live && a.stream.bus.confirmed
}

// Detach ends the attachment; nothing is offered after it. It returns what stays of it. It is
// idempotent, but only the first call returns more than a zero Past.
func (a *Attachment) Detach() (p Past) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	if a.detached {
		return Past{}
	}
	p = a.past()
	p.ended, p.last = true, a.stream.headLocation()
	a.detached, a.live = true, false
	if a.waiting {
		a.stream.forget(a)
	}
	for _, m := range a.members {
		a.exit(m)
	}
	a.members = nil
	return p
}

// headLocation returns where the stream is.
func (s *Stream) headLocation() domain.Location { return locationOf(s.history.Head().Cursor) }

// locationOf returns where a cursor is. The position is a copy: that of the head
// would keep alive what it was read with.
func locationOf(c domain.Cursor) domain.Location {
	return domain.Location{Log: c.Log, Position: domain.Position(strings.Clone(string(c.Position)))}
}

// enter makes the session a member of the target's group; nil if it is one
// already. Entries before number since, and up to the location after, are not
// for it.
func (a *Attachment) enter(t domain.Target, since uint64, after domain.Location) *membership {
	for _, m := range a.members {
		if m.target == t {
			return nil
		}
	}
	m := &membership{of: a, since: since, after: after}
	a.stream.index.ensureGroup(t).add(m)
	a.members = append(a.members, m)
	return m
}

func (a *Attachment) exit(m *membership) {
	if m.rides && a.ride != nil && a.ride.on != nil {
		a.ride.on.unwant(m.target, a.ride)
	}
	m.remove(m)
	a.stream.index.dropIfEmpty(m.group)
}
