package session

import (
	"sync"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// receipts are what is known of the messages of an attachment that want receipts. Most
// attachments have none, as they were never offered such a message.
type receipts struct {
	of *Attachment

	mu    sync.Mutex // taken before the locks of the Conn and of receiptList, and after all others
	mark  control.Mark
	due   bool // it is in receiptList
	given bool // a message was offered, and not only a gap

	next *receipts // of another attachment of the session; never changes
}

// ensureReceipts returns the attachment's receipts, and makes them if need be.
func (a *Attachment) ensureReceipts() *receipts {
	if r := a.receipts.Load(); r != nil {
		return r
	}
	r := &receipts{of: a, mark: a.emptyMark()}
	if !a.receipts.CompareAndSwap(nil, r) {
		return a.receipts.Load()
	}
	for all := &a.session.receipts; ; {
		r.next = all.Load()
		if all.CompareAndSwap(r.next, r) {
			return r
		}
	}
}

// emptyMark is the mark of a session that was offered nothing that wants a receipt.
func (a *Attachment) emptyMark() control.Mark {
	m := control.Mark{Session: a.session.ID, User: a.session.User, System: a.System(), Blurred: true}
	if a.begun.Log != 0 {
		m.Log, m.From, m.Blurred = a.begun.Log, control.After(a.begun.Position), false
	}
	return m
}

// OfferNoted is [Attachment.Offer] for a frame that somebody wants to know more of. The lock is
// held until it is noted, since the client may answer at once.
func (a *Attachment) OfferNoted(f stream.Frame, n *stream.Note) bool {
	r := a.ensureReceipts()
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.Bytes != nil {
		taken := false
		if n.Skip == "" {
			taken = a.conn.OfferNoted(a, f, n)
		} else { // nobody wants to know when the notice of a gap is written
			taken = a.conn.Offer(a, f)
		}
		if !taken {
			return false
		}
		a.heard.Store(true)
	}
	r.take(n)
	r.tell()
	return true
}

// tell has the mark said to other nodes, if it says something of a message. The caller holds
// mu.
func (r *receipts) tell() {
	if r.given && !r.due {
		r.due = true
		r.of.session.registry.receipts.add(r)
	}
}

// take takes note of what the session was offered, or is not given. The caller holds mu.
func (r *receipts) take(n *stream.Note) {
	m := &r.mark
	if m.Log != n.Log { // nothing is known of where the old positions are in this log
		*m = control.Mark{Session: m.Session, User: m.User, System: m.System, Log: n.Log, Blurred: true}
		if n.Skip != stream.Expired && n.Skip != "" {
			m.From, m.Blurred = control.After(n.Position), true
			return
		}
		m.From = n.Position
	}
	switch n.Skip {
	case "":
		r.given = true
		m.Offered = max(m.Offered, n.Position)
		if m.Ended != 0 { // it came while the session was ending
			m.Until = max(m.Until, n.Position)
		}
	case stream.Expired:
		m.Skip(control.Skip{From: n.Position, UpTo: n.Position, Reason: control.SkipExpired})
	default:
		from := m.From
		if m.Offered != "" {
			from = control.After(m.Offered)
		}
		if from <= n.Position {
			m.Skip(control.Skip{From: from, UpTo: n.Position, Reason: n.Skip})
		}
	}
}

// Wrote notes that the port has written the frame of a note to the session's connection, and
// with it all frames of the same system that were offered before. It may be called until
// [Session.End].
func (s *Session) Wrote(n *stream.Note) {
	for r := s.receipts.Load(); r != nil; r = r.next {
		if r.of.System() == n.System {
			r.wrote(n.Location)
			return
		}
	}
}

func (r *receipts) wrote(at domain.Location) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := &r.mark; m.Log == at.Log && at.Position > m.Written {
		m.Written, m.WrittenAt = at.Position, r.now()
		r.tell()
	}
}

// AddNote adds the note of a frame to those of frames before it, of which it replaces the one
// of the same system. So the list stays short, and is what [Session.Wrote] needs.
func AddNote(notes []*stream.Note, n *stream.Note) []*stream.Note {
	for i := range notes {
		if notes[i].System == n.System {
			notes[i] = n
			return notes
		}
	}
	return append(notes, n)
}

// Ack notes that the client has handled everything up to a cursor. It does nothing if that is
// none that the session was given, or if the client has said more before. What was not
// offered to the session is not acknowledged, whatever the cursor says.
func (a *Attachment) Ack(c domain.Cursor) {
	r := a.receipts.Load()
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &r.mark
	if m.Log != c.Log || min(c.Position, m.Offered) <= m.Acked {
		return
	}
	m.Acked, m.AckedAt = min(c.Position, m.Offered), r.now()
	if m.Written < m.Acked { // the writer is about to say so
		m.Written, m.WrittenAt = m.Acked, m.AckedAt
	}
	r.tell()
}

// acked returns up to which location the client has acknowledged; zero for nothing.
func (a *Attachment) acked() domain.Location {
	r := a.receipts.Load()
	if r == nil {
		return domain.Location{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mark.Acked == "" {
		return domain.Location{}
	}
	return domain.Location{Log: r.mark.Log, Position: r.mark.Acked}
}

func (r *receipts) now() int64 { return r.of.session.registry.now().UnixMilli() }

// closeReceipts notes that the session has ended. It is called before the attachment is
// detached, and may be called again.
func (a *Attachment) closeReceipts() {
	r := a.receipts.Load()
	if r == nil {
		return
	}
	head, _ := a.stream.Head()
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &r.mark
	if m.Ended != 0 {
		return
	}
	m.Ended, m.Until = r.now(), m.Offered
	if head.Log == m.Log {
		m.Until = max(m.Until, head.Position)
	}
	if r.tell(); r.given {
		a.session.registry.receipts.end(r)
	}
}

// snapshot returns a copy of the mark that shares nothing with it.
func (r *receipts) snapshot() control.Mark {
	m := r.mark
	m.Skips = append([]control.Skip(nil), m.Skips...)
	return m
}

// A receiptList holds the receipts that have changed since [Registry.Marks] returned them.
type receiptList struct {
	off bool // nobody calls Registry.Marks, and the list stays empty; never changes

	mu    sync.Mutex
	list  []*receipts // guarded by mu
	ended []*receipts // of sessions that have ended, while they are in list; guarded by mu
}

// end notes that the session of receipts has ended.
func (l *receiptList) end(r *receipts) {
	if l.off {
		return
	}
	l.mu.Lock()
	l.ended = append(l.ended, r)
	l.mu.Unlock()
}

func (l *receiptList) add(r *receipts) {
	if l.off {
		return
	}
	l.mu.Lock()
	l.list = append(l.list, r)
	l.mu.Unlock()
}

// Marks returns the marks that have changed since the last call, at most that many, and
// whether there are more.
func (reg *Registry) Marks(most int) (all []control.Mark, more bool) {
	l := &reg.receipts
	l.mu.Lock()
	n := min(most, len(l.list))
	list := l.list[:n]
	if l.list = l.list[n:]; len(l.list) == 0 {
		l.list, l.ended = nil, nil
	} else {
		more = true
	}
	l.mu.Unlock()
	if n == 0 {
		return nil, false
	}
	all = make([]control.Mark, 0, n)
	for _, r := range list {
		r.mu.Lock()
		r.due = false
		all = append(all, r.snapshot())
		r.mu.Unlock()
	}
	return all, more
}

// Deliveries calls yield for the sessions of this node that a message at a location was for,
// as it was for a target, with those that have ended and of which [Registry.Marks] has not told
// yet, if the target is no room. It holds no lock while it does.
func (reg *Registry) Deliveries(
	system domain.System, at domain.Location, to domain.Target, yield func(control.Delivery),
) {
	for _, s := range reg.hearing(to) {
		a := s.Find(system)
		if a == nil {
			continue
		}
		d := a.delivery(at)
		if to.Kind() == domain.KindRoom {
			after, exact, is := a.stream.Heard(to)
			switch {
			case !is, after.Log == at.Log && at.Position <= after.Position:
				continue
			case !exact && d.Fate != control.FateNone:
				d.Fate, d.Reason = control.FateUnknown, ""
			}
		}
		if d.Fate != control.FateNone {
			yield(d)
		}
	}
	for _, r := range reg.receipts.endedFor(system, to) {
		r.mu.Lock()
		d := control.Delivery{Mark: r.snapshot()}
		r.mu.Unlock()
		if d.Fate, d.Reason = d.Mark.Fate(at); d.Fate != control.FateNone {
			yield(d)
		}
	}
}

// endedFor returns the receipts of sessions that have ended, and that a target stands for.
func (l *receiptList) endedFor(system domain.System, to domain.Target) (all []*receipts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.ended {
		s := r.of.session
		if r.of.System() == system && (to == s.user || to == s.self || to == domain.Everyone) {
			all = append(all, r)
		}
	}
	return all
}

// hearing returns the sessions that may hear a target.
func (reg *Registry) hearing(to domain.Target) (all []*Session) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	switch to.Kind() {
	case domain.KindUser:
		if u := reg.users[to.Name()]; u != nil {
			all = append(all, u.sessions...)
		}
	case domain.KindSession:
		if s := reg.lookup.withID(to.Name(), reg.sessions); s != nil {
			all = append(all, s)
		}
	default:
		all = append(all, reg.sessions...)
	}
	return all
}

// delivery returns what became of a message that is for the session.
func (a *Attachment) delivery(at domain.Location) (d control.Delivery) {
	head, live := a.stream.Head() // before the mark, which then has all that was offered up to there
	passed := live && head.Log == at.Log && head.Position >= at.Position
	r := a.receipts.Load()
	if r == nil {
		d.Mark = a.emptyMark()
	} else {
		r.mu.Lock()
		d.Mark = r.snapshot()
		r.mu.Unlock()
	}
	d.Fate, d.Reason = d.Mark.Fate(at)
	switch {
	case passed && r == nil && d.Fate == control.FateUnknown: // it was offered nothing of the kind
		d.Fate = control.FateNone
	case passed && d.Fate == control.FatePending && at.Position > d.Mark.Offered:
		d.Fate = control.FateUnknown // as when this node took it for a repetition
	}
	return d
}
