package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// nobody is an [Asker] that nobody answers.
type nobody struct{}

func (nobody) Ask(context.Context, string, []byte) (control.Answers, error) {
	return control.Answers{}, nil
}

// A fullness says of an answer that is put together from those of all nodes whether something
// may be missing in it.
type fullness struct {
	Complete bool         `json:"complete" doc:"Every live node has answered. If not, something may be missing."`
	Silent   []string     `json:"silent,omitempty" doc:"Live nodes that have not answered in time."`
	Failed   []failedNode `json:"failed,omitempty" doc:"Nodes that have no answer."`
}

// A failedNode is a node that had no answer.
type failedNode struct {
	Node  string `json:"node"`
	Error string `json:"error" doc:"unknown: its version does not know the question; busy; or what went wrong."`
}

// ask asks all nodes, and has take read the answer of each. An error of take counts as that
// of the node.
func (c *call) ask(kind string, question any, take func(node string, answer []byte) error) (fullness, *Problem) {
	body, err := json.Marshal(question)
	if err != nil { // no question can fail
		return fullness{}, c.unasked(err)
	}
	answers, err := c.api.cfg.Asker.Ask(c.ctx, kind, body)
	if err != nil {
		return fullness{}, c.unasked(err)
	}
	full := fullness{Complete: answers.Complete, Silent: answers.Silent}
	for _, a := range answers.From {
		reason := a.Err
		if reason == "" {
			if err := take(a.Node, a.Body); err != nil {
				reason = "its answer cannot be read: " + err.Error()
			}
		}
		if reason != "" {
			full.Complete = false
			full.Failed = append(full.Failed, failedNode{a.Node, reason})
		}
	}
	return full, nil
}

// unasked returns why nobody was asked.
func (c *call) unasked(err error) *Problem {
	switch {
	case errors.Is(err, domain.ErrLimit):
		return problem(http.StatusTooManyRequests, "too many questions to all nodes are open: try again later")
	case errors.Is(err, domain.ErrClosed):
		return problem(http.StatusServiceUnavailable, "this node is shutting down: ask another one")
	}
	c.api.cfg.Logger.Error("the nodes cannot be asked", "error", err)
	return problem(http.StatusInternalServerError, "the nodes cannot be asked; this node's log says why")
}

// A sessionList is the answer to GET /v1/users/{user}/sessions.
type sessionList struct {
	User     string                `json:"user" doc:"The user."`
	Sessions []control.SessionInfo `json:"sessions" doc:"Oldest first."`
	More     int                   `json:"more,omitempty" doc:"So many sessions more there are."`
	fullness
}

// listSessions answers GET /v1/users/{user}/sessions.
func listSessions(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	out, p := c.sessionsOf()
	if p != nil {
		return 0, nil, p
	}
	return http.StatusOK, out, nil
}

// sessionsOf asks all nodes for the sessions of the user.
func (c *call) sessionsOf() (out sessionList, p *Problem) {
	out = sessionList{User: c.user, Sessions: []control.SessionInfo{}}
	question := control.SessionsOf{User: c.user}
	out.fullness, p = c.ask(control.SessionsKind, question, func(node string, answer []byte) error {
		var of control.Sessions
		if err := json.Unmarshal(answer, &of); err != nil {
			return err
		}
		for i := range of.Sessions {
			of.Sessions[i].Node = node
			if of.Sessions[i].Systems == nil {
				of.Sessions[i].Systems = []control.SystemState{}
			}
		}
		out.Sessions, out.More = append(out.Sessions, of.Sessions...), out.More+of.More
		return nil
	})
	slices.SortStableFunc(out.Sessions, func(a, b control.SessionInfo) int {
		return cmp.Or(a.Connected.Compare(b.Connected), strings.Compare(a.ID, b.ID))
	})
	return out, p
}
