package stream

import (
	"math"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// An Attachment is one session's part in one Stream. Its methods may be called
// concurrently, but never from inside Offer.
//
// It is live, when Deliver offers it each entry at once; or behind, when it
// holds only its place in the window and is offered what it missed by Fill;
// or waiting, until the stream has got to where its cursor is, or the log has
// been read again from there. Whoever is
// behind has either frames in its outbox or an owner about to call Fill: so
// it can not be forgotten.
type Attachment struct {
	stream *Stream
	asker  Asker // never changes
	out    Outbox
	enc    Encoder

	// Guarded by stream.mu.
	members  []*member
	live     bool
	held     bool // until the first Fill
	waiting  bool
	detached bool
	next     uint64           // behind: the first entry not yet offered
	first    uint64           // where it began
	offered  uint64           // 1 + the newest entry offered live
	since    domain.Cursor    // waiting: where it, or what is joining, says it is
	joining  *member          // waiting: the target for which it waits; nil: all of them
	back     uint64           // joining: where the other targets are
	until    time.Time        // waiting: for how long it is believed
	owed     domain.GapReason // to be told before anything else
	owedAt   domain.Cursor
	notice   Frame  // to be offered when what joined has caught up
	noticeAt uint64 // before this entry; those before it have no cursors
}

// Attach registers a session for its targets, and for domain.Everyone. If
// since is not zero the session goes on behind that place; if it cannot, it
// will be told a gap. Nothing is offered before the first Fill.
//
// At is the cursor of the place where it begins: zero while the bus has not
// confirmed. Resumed says that since was honoured.
func (s *Stream) Attach(out Outbox, enc Encoder, since domain.Cursor, targets ...domain.Target) (a *Attachment, at domain.Cursor, resumed bool) {
	return s.AttachFor(Asker{}, out, enc, since, targets...)
}

// AttachFor is Attach for a session of whom it is known who it is: what is read
// again of the log for it counts as read for the asker.
func (s *Stream) AttachFor(who Asker, out Outbox, enc Encoder, since domain.Cursor, targets ...domain.Target) (a *Attachment, at domain.Cursor, resumed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a = &Attachment{stream: s, asker: who, out: out, enc: enc, held: true, members: make([]*member, 0, len(targets)+1)}
	a.enter(domain.Everyone, 0)
	for _, t := range targets {
		a.enter(t, 0)
	}
	a.next, a.first = s.window.head, s.window.head
	if !s.begun {
		a.wait(since)
		return a, domain.Cursor{}, false
	}
	if since.IsZero() {
		return a, s.tip.Cursor, false
	}
	at, resumed = a.resume(since)
	return a, at, resumed
}

// Fill offers what the session has not been offered yet, until the outbox is
// full or nothing is left: then the session is live, and Fill returns true.
func (a *Attachment) Fill() (live bool) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	a.held = false
	return a.fill()
}

// Join lets the session hear a target from now on.
func (a *Attachment) Join(t domain.Target) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	if !a.detached {
		a.enter(t, a.stream.window.head)
	}
}

// JoinSince is Join for a session that has heard the target before, up to
// since: it is offered first what it missed there, or told a gap, and then
// done. What it is offered until done has no cursors, as the session's own
// place is another. False means that the session itself waits for its place,
// or for another target's: try again later.
func (a *Attachment) JoinSince(t domain.Target, since domain.Cursor, done Frame) bool {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	if a.waiting || a.detached || len(a.notice.Bytes) > 0 {
		return false
	}
	a.back = a.next
	if a.live {
		a.back, a.live = a.stream.window.head, false
	}
	a.next = a.back
	a.notice, a.noticeAt = done, a.back
	if m := a.enter(t, a.stream.window.head); m != nil {
		for _, other := range a.members {
			if other != m {
				other.heard = max(other.since, a.first)
				other.since = max(other.since, a.back)
			}
		}
		m.heard = math.MaxUint64
		a.joining = m
		a.resume(since)
	}
	if !a.waiting && !a.held {
		a.fill()
	}
	return true
}

// Leave ends what Join began.
func (a *Attachment) Leave(t domain.Target) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	for i, m := range a.members {
		if m.target == t && t != domain.Everyone {
			a.members = slices.Delete(a.members, i, i+1)
			a.exit(m)
			return
		}
	}
}

// Cursor returns the place up to which the session has been offered all there
// was; ok is false while it is behind or the bus has not confirmed.
func (a *Attachment) Cursor() (c domain.Cursor, ok bool) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	return a.stream.tip.Cursor, a.live && a.stream.begun
}

// Detach ends the attachment; nothing is offered after it. It is idempotent.
func (a *Attachment) Detach() {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	if a.detached {
		return
	}
	a.detached, a.live = true, false
	for _, m := range a.members {
		a.exit(m)
	}
	a.members = nil
	if a.waiting {
		a.stream.forget(a)
	}
}

// enter makes the session a member of the target's group; nil if it is one.
func (a *Attachment) enter(t domain.Target, since uint64) *member {
	for _, m := range a.members {
		if m.target == t {
			return nil
		}
	}
	m := &member{of: a, since: since}
	a.stream.group(t).add(m)
	a.members = append(a.members, m)
	return m
}

func (a *Attachment) exit(m *member) {
	m.remove(m)
	a.stream.drop(m.group)
}
