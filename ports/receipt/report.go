package receipt

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

func sessionOf(d *control.Delivery) control.SessionReport {
	m := &d.Mark
	s := control.SessionReport{
		Session: m.Session, User: m.User, Node: m.Node, State: d.Fate, Reason: d.Reason,
		Ended: timeOf(m.Ended),
	}
	switch d.Fate {
	case control.FateAcked:
		s.Acked = timeOf(m.AckedAt)
		s.Written = timeOf(m.WrittenAt)
	case control.FateWritten:
		s.Written = timeOf(m.WrittenAt)
	}
	return s
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// best are the states of sessions, the one that says most of a user first.
var best = []control.Fate{
	control.FateAcked, control.FateWritten, control.FatePending, control.FateGap,
	control.FateUnknown, control.FateExpired,
}

// stateOf returns the state of a user whose sessions have these. Sure says that no session
// can be missing.
func stateOf(counts map[control.Fate]int, sure bool) control.Fate {
	for _, fate := range best {
		if counts[fate] == 0 {
			continue
		}
		if fate == control.FateExpired && !sure {
			break
		}
		return fate
	}
	if !sure {
		return control.FateUnknown
	}
	return control.FateNoSession
}

// reached reports whether every user and session among the targets has at least a state,
// which is [control.FateAcked] or [control.FateWritten].
func reached(r *control.ReceiptReport, want control.Fate) bool {
	for i := range r.Receipts {
		t := &r.Receipts[i]
		acked := t.State == control.FateAcked || want == control.FateWritten && t.State == control.FateWritten
		if t.State != "" && !acked {
			return false
		}
	}
	return true
}

// isSingle reports whether a target is one user or one session, of which there is a state.
func isSingle(t domain.Target) bool {
	return t.Kind() == domain.KindUser || t.Kind() == domain.KindSession
}
