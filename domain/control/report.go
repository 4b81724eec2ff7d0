package control

import "time"

// FateNoSession is the state of a user who had no session that a message was given to.
const FateNoSession Fate = "no_session"

// A ReceiptReport says what became of a message.
type ReceiptReport struct {
	ID       string         `json:"id" doc:"Of the message."`
	System   string         `json:"system" doc:"The business system."`
	Cursor   string         `json:"cursor,omitempty" doc:"Where the message is, as its clients see it."`
	Wanted   bool           `json:"receipt" doc:"The message wants receipts. Of others less is known."`
	Receipts []TargetReport `json:"receipts" doc:"One for each target of the message."`
	Complete bool           `json:"complete" doc:"If not, something may be missing: see silent and lost."`
	Silent   []string       `json:"silent,omitempty" doc:"Live nodes that have not answered."`
	Lost     []string       `json:"lost,omitempty" doc:"Nodes that died before they can have told."`
}

// A TargetReport says what became of a message for one of its targets.
type TargetReport struct {
	To string `json:"to" doc:"The target."`
	// State is set where the target is a user or a session: the best of all sessions.
	State    Fate            `json:"state,omitempty" doc:"Of a user or a session: the best of all sessions."`
	Counts   map[Fate]int    `json:"counts" doc:"Sessions by state, in this answer or not."`
	Sessions []SessionReport `json:"sessions" doc:"Those that the message was for, sorted by id."`
	Next     string          `json:"next,omitempty" doc:"There are more sessions: ask for them with after."`
}

// A SessionReport says what became of a message in one session.
type SessionReport struct {
	Session string `json:"session" doc:"Its id."`
	User    string `json:"user" doc:"Whose it is."`
	Node    string `json:"node,omitempty" doc:"The node that it is on, or was."`
	State   Fate   `json:"state" doc:"As above, or ended: the session ended before the message was written."`
	Reason  string `json:"reason,omitempty" doc:"Of a gap."`
	// Written and Acked are when the newest message was, up to which that is known: this one
	// was not later.
	Written time.Time `json:"written,omitzero" doc:"When it was written, or a later one was."`
	Acked   time.Time `json:"acked,omitzero" doc:"When it was acknowledged, or a later one was."`
	Ended   time.Time `json:"ended,omitzero" doc:"When the session ended, if it has."`
}
