package stream

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// resume makes the session, or the target that it joins, continue after its
// cursor. It returns where it begins now, and whether that is at the cursor.
// If that is not known yet, the session waits.
func (a *Attachment) resume(since domain.Cursor) (at domain.Cursor, resumed bool) {
	return a.apply(a.stream.history.Find(since, a.stream.cfg.Now), since)
}

// apply turns the answer to a cursor into what becomes of the session, or of
// the target that it joins.
func (a *Attachment) apply(answer history.Answer, since domain.Cursor) (at domain.Cursor, resumed bool) {
	s := a.stream
	switch answer.Kind {
	case history.At:
		a.begin(answer.Next)
		if answer.Resumed && a.page == nil {
			s.stats.Resumed++
		}
		return answer.Cursor, answer.Resumed
	case history.Ahead:
		a.wait(answer.Cursor)
		return since, true
	case history.NeedsBacklog:
		if s.cfg.Reads.Over(a.asker) {
			return a.apply(s.history.Refused(domain.TooFar), since)
		}
		a.awaitBacklog(since)
		return since, true
	case history.NeedsLookup:
		if s.cfg.Reads.Over(a.asker) {
			return a.apply(s.history.GapAtHead(domain.TooFar), since)
		}
		a.waiting, a.since = true, since
		s.backlog.unlocated = append(s.backlog.unlocated, a)
		s.backlog.poke()
		return since, true
	default: // a gap
		a.hearsFrom(answer.Cursor)
		a.beginAfterGap(answer.Reason, answer.Next, answer.Cursor)
		return answer.Cursor, false
	}
}

// begin makes entry n the next one of the session, or of the target that it
// joins.
func (a *Attachment) begin(n uint64) {
	a.next = n
	if m := a.joining; m != nil {
		m.since, a.next, a.joining = n, min(n, a.othersNext), nil
		return
	}
	a.first = n
}

// hearsFrom notes after which position the session, or the target that it joins,
// is offered what comes, if that is not known yet.
func (a *Attachment) hearsFrom(c domain.Cursor) {
	for _, m := range a.members {
		if m == a.joining || a.joining == nil && !a.rode && m.since == 0 {
			m.after = locationOf(c)
		}
	}
}

// beginAfterGap makes the session begin at entry n, and tells it a gap first.
// A gap that was not told yet stands for both, and reaches to the later cursor.
func (a *Attachment) beginAfterGap(reason domain.GapReason, n uint64, at domain.Cursor) {
	if a.pendingGap == "" {
		a.pendingGap, a.pendingGapAt = reason, domain.Cursor{}
	}
	if a.joining == nil { // else the session's own cursor is another
		a.pendingGapAt = at
	}
	a.begin(n)
}

// proceed ends the session's wait.
func (a *Attachment) proceed() {
	a.waiting, a.until = false, time.Time{}
	if !a.held {
		a.fill()
	}
}
