package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
)

// A Counter says what a node counts, for GET /v1/live. It is safe for concurrent use.
type Counter interface {
	// Counts returns what this node has counted until now. It does not wait.
	Counts() Counts
}

// CountsKind is the kind of the question what a node counts. It has no body, and that of the
// answer is [Counts].
const CountsKind = "counts"

// AnswerCounts answers the question of another node what this one counts.
func (a *API) AnswerCounts(context.Context, []byte) ([]byte, error) {
	if a.cfg.Counter == nil {
		return nil, errors.New("this node does not say what it counts")
	}
	return json.Marshal(a.cfg.Counter.Counts())
}

// Counts is what a node has counted since it started, and how much there is now. Nodes send it
// to each other as JSON.
type Counts struct {
	AtMS     int64          `json:"at_ms" doc:"When this was counted, since the node's start. Rates follow from two."`
	BusUp    bool           `json:"bus_up" doc:"The node can reach its bus."`
	Deaf     []string       `json:"deaf,omitempty" doc:"Systems whose messages do not come; at most 20."`
	Sessions int            `json:"sessions" doc:"Open now."`
	Users    int            `json:"users" doc:"That have an open session."`
	Opened   uint64         `json:"opened" doc:"Sessions that were opened."`
	Closed   uint64         `json:"closed" doc:"Sessions that have ended."`
	Refused  uint64         `json:"refused" doc:"Requests of clients that were refused."`
	Systems  []SystemCounts `json:"systems" doc:"At most 100: those with the most sessions."`
	Left     int            `json:"left,omitempty" doc:"How many systems there are beside these."`
}

// SystemCounts is what a node has counted of a system.
type SystemCounts struct {
	System    string `json:"system"`
	Sessions  int    `json:"sessions" doc:"Attached now."`
	Behind    int    `json:"behind" doc:"Sessions that are catching up."`
	Messages  uint64 `json:"messages" doc:"That came from the bus. Every node counts them."`
	Matched   uint64 `json:"matched" doc:"Messages for which the node had a session."`
	Delivered uint64 `json:"delivered" doc:"Messages given to sessions, once for each session."`
	Gaps      uint64 `json:"gaps" doc:"Gap notices given to sessions."`
	Window    int64  `json:"window_bytes" doc:"Of memory that the window of recent messages takes."`
}

// The most systems that a node's Counts have, so that they fit into an answer to another node.
const (
	maxCounted = 100
	MaxDeaf    = 20
)

// Bound keeps the systems with the most sessions, sorted by name, and says how many it has left
// out. It changes systems.
func Bound(systems []SystemCounts) (kept []SystemCounts, left int) {
	if len(systems) > maxCounted {
		slices.SortFunc(systems, func(a, b SystemCounts) int {
			return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.System, b.System))
		})
		systems, left = systems[:maxCounted], len(systems)-maxCounted
	}
	slices.SortFunc(systems, func(a, b SystemCounts) int { return cmp.Compare(a.System, b.System) })
	return systems, left
}
