package receipt

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// StateNoSession is the state of a user who had no session that a message was given to.
const StateNoSession control.Fate = "no_session"

// A Report says what became of a message.
type Report struct {
	ID       string   `json:"id"`
	System   string   `json:"system"`
	Cursor   string   `json:"cursor,omitempty"`
	Wanted   bool     `json:"receipt" doc:"The message wants receipts. Of others less is known."`
	Receipts []Target `json:"receipts" doc:"One for each target of the message."`
	Complete bool     `json:"complete" doc:"If not, something may be missing: see silent and lost."`
	Silent   []string `json:"silent,omitempty" doc:"Live nodes that have not answered."`
	Lost     []string `json:"lost,omitempty" doc:"Nodes that died before they can have told."`
}

// A Target says what became of a message for one of its targets.
type Target struct {
	To string `json:"to"`
	// State is set where the target is a user or a session: the best of all sessions.
	State    control.Fate         `json:"state,omitempty"`
	Counts   map[control.Fate]int `json:"counts" doc:"Sessions by state, in this answer or not."`
	Sessions []Session            `json:"sessions"`
	Next     string               `json:"next,omitempty" doc:"There are more sessions: ask for them with after."`
}

// A Session says what became of a message in one session.
type Session struct {
	Session string       `json:"session"`
	User    string       `json:"user"`
	Node    string       `json:"node,omitempty"`
	State   control.Fate `json:"state"`
	Reason  string       `json:"reason,omitempty" doc:"Of a gap."`
	// Written and Acked are when the newest message was, up to which that is known: this one
	// was not later.
	Written time.Time `json:"written,omitzero" doc:"When it was written, or a later one was."`
	Acked   time.Time `json:"acked,omitzero" doc:"When it was acknowledged, or a later one was."`
	Ended   time.Time `json:"ended,omitzero"`
}

func sessionOf(d *control.Delivery) Session {
	m := &d.Mark
	s := Session{
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
	return StateNoSession
}

// reached reports whether every user and session among the targets has at least a state,
// which is [control.FateAcked] or [control.FateWritten].
func (r *Report) reached(want control.Fate) bool {
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
