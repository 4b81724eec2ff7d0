package receipt

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// A query is what nodes ask each other.
type query struct {
	System string   `json:"system"`
	ID     string   `json:"id"`
	At     string   `json:"at"` // the message's cursor on the node that asks
	To     []string `json:"to"`
	After  string   `json:"after,omitempty"` // sessions whose ids come after it
	Limit  int      `json:"limit"`           // most sessions for each target
	Hurry  int64    `json:"hurry_ms,omitempty"`
}

// A part is what one node answers.
type part struct {
	// At is the message's cursor on the node that answers; "" if it has not read it, or
	// cannot say.
	At      string       `json:"at"`
	Targets []partTarget `json:"targets"` // in the order of query.To
}

type partTarget struct {
	Counts   map[control.Fate]int    `json:"counts,omitempty"`
	Sessions []control.SessionReport `json:"sessions,omitempty"` // sorted by id, at most query.Limit
	More     bool                    `json:"more,omitempty"`
}

// A collection gathers the sessions that a message was for through one target.
type collection struct {
	sessions map[string]control.SessionReport
}

func newCollection() *collection { return &collection{make(map[string]control.SessionReport)} }

// add adds what became of the message in a session. Of two states, the one that says more of
// the message counts.
func (c *collection) add(s control.SessionReport) {
	if old, known := c.sessions[s.Session]; !known || rank(s.State) < rank(old.State) {
		c.sessions[s.Session] = s
	}
}

// rank returns where a state stands in best.
func rank(f control.Fate) int {
	if i := slices.Index(best, f); i >= 0 {
		return i
	}
	return len(best)
}

// page returns the sessions after an id, at most limit, and how many there are of each
// state.
func (c *collection) page(after string, limit int) (t partTarget) {
	t.Counts = make(map[control.Fate]int)
	for _, s := range c.sessions {
		t.Counts[s.State]++
		if s.Session > after {
			t.Sessions = append(t.Sessions, s)
		}
	}
	t.Sessions, t.More = cut(t.Sessions, limit)
	return t
}

func cut(all []control.SessionReport, limit int) ([]control.SessionReport, bool) {
	slices.SortFunc(all, func(a, b control.SessionReport) int { return cmp.Compare(a.Session, b.Session) })
	if len(all) <= limit {
		return all, false
	}
	return all[:limit:limit], true
}

// marshal writes the answer of a node. If it is too large for one, it has fewer sessions.
func marshal(at string, all []*collection, after string, limit int) ([]byte, error) {
	for ; ; limit /= 2 {
		p := part{At: at, Targets: make([]partTarget, len(all))}
		for i, c := range all {
			p.Targets[i] = c.page(after, limit)
		}
		body, err := json.Marshal(p)
		if err != nil || len(body) <= control.MaxBody || limit == 0 {
			return body, err
		}
	}
}

// fateOf returns what became of a message in the session of a mark.
func fateOf(m *control.Mark, at domain.Cursor, alive bool) control.Delivery {
	d := control.Delivery{Mark: *m}
	d.Fate, d.Reason = m.Fate(domain.Location{Log: at.Log, Position: at.Position})
	switch {
	case d.Fate == control.FateUnknown && m.Ended != 0 && !at.Time.IsZero() && m.Ended < at.Time.UnixMilli():
		d.Fate = control.FateNone // whatever log it was in
	case d.Fate == control.FatePending && !alive:
		d.Fate = control.FateUnknown
	}
	return d
}
