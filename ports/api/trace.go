package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/domain/trace"
)

// A Finder finds messages by their ids. It is safe for concurrent use and bounded by ctx.
type Finder interface {
	// Find returns where the messages with an id are, oldest first, and whether these are
	// all. What it has found it returns also with an error, which wraps [domain.ErrLimit] or
	// [domain.ErrBusDown], or is the context's.
	Find(ctx context.Context, system domain.System, id string) (all []stream.Found, complete bool, err error)
	// Trimmed reports whether the system's log does not hold all that it ever held; true
	// also if there is no log, with an error that wraps [domain.ErrUnsupported].
	Trimmed(ctx context.Context, system domain.System) (bool, error)
}

// exampleReport is what the documentation shows.
var exampleReport = trace.Report{
	System: "orders", ID: exampleID, User: "alice", Complete: true,
	Places: []trace.Place{{
		Cursor: exampleCursor, LoggedAt: exampleTime, To: []string{"user:alice"}, Type: "order.paid", Bytes: 17,
	}},
	Nodes: []trace.Node{{
		Node: "n1", Incarnation: exampleID,
		Answer: trace.Answer{
			Reads: true, Since: exampleTime.Add(-time.Hour),
			Places: []trace.Seen{{
				Cursor: exampleCursor, State: trace.Read, Sessions: 1,
				Of: []trace.Told{{
					Session: exampleID, Connected: exampleTime.Add(-time.Minute), Address: "192.0.2.7",
					Fate: trace.Written,
				}},
			}},
		},
	}},
	Silent: []string{"n2"},
}

// traceMessage answers GET /v1/systems/{system}/messages/{message}/trace.
func traceMessage(c *call) (int, any, *Problem) {
	if p := c.read(nil); p != nil {
		return 0, nil, p
	}
	user, p := c.name("user")
	if p != nil {
		return 0, nil, p
	}
	at, p := c.cursor()
	if p != nil {
		return 0, nil, p
	}
	if c.api.cfg.Finder == nil {
		return 0, nil, problem(http.StatusNotImplemented, "this node traces no messages")
	}
	r := trace.Report{System: c.system.String(), ID: c.message, User: user, Nodes: []trace.Node{}}
	if p := c.find(&r, at); p != nil {
		return 0, nil, p
	}
	if p := c.askAll(&r); p != nil {
		return 0, nil, p
	}
	r.Gone = c.gone(&r)
	return http.StatusOK, r, nil
}

// cursor reads the parameter cursor; zero if there is none.
func (c *call) cursor() (domain.Cursor, *Problem) {
	text, given := c.query["cursor"]
	if !given {
		return domain.Cursor{}, nil
	}
	at, err := domain.ParseCursor(text)
	if err != nil {
		return at, fault("cursor", err.Error())
	}
	return at, nil
}

// find finds the places of the message. One that was named by its cursor is among them,
// whether something is there or not.
func (c *call) find(r *trace.Report, at domain.Cursor) *Problem {
	finder := c.api.cfg.Finder
	found, complete, err := finder.Find(c.ctx, c.system, c.message)
	if err != nil && len(found) == 0 && at.IsZero() {
		return c.unread(err)
	}
	r.Places, r.Complete = placesOf(found), complete
	if !at.IsZero() && !hasPlace(found, at) {
		r.Places = append(r.Places, trace.Place{Cursor: at.String(), LoggedAt: at.Time})
	}
	trimmed, err := finder.Trimmed(c.ctx, c.system)
	switch {
	case errors.Is(err, domain.ErrUnsupported):
		r.Reason = trace.ReasonLossy
	case err != nil || !complete && !trimmed:
		r.Reason = trace.ReasonTooFar
	case trimmed && (!complete || len(found) == 0):
		r.Reason = trace.ReasonTrimmed
	}
	if n := len(r.Places) - trace.MaxPlaces; n > 0 {
		r.Places, r.Complete, r.Reason = r.Places[n:], false, trace.ReasonTooFar
	}
	return nil
}

// unread returns why messages could not be looked for.
func (c *call) unread(err error) *Problem {
	switch {
	case errors.Is(err, domain.ErrLimit):
		return problem(http.StatusTooManyRequests, "too much is searched: try again later")
	case errors.Is(err, domain.ErrBusDown),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, "the messages cannot be read now: try again later")
	}
	c.api.cfg.Logger.Error("a message was not found", "system", c.system.String(), "error", err)
	return problem(http.StatusInternalServerError, "it failed; this node's log says why")
}

func placesOf(found []stream.Found) []trace.Place {
	all := make([]trace.Place, 0, len(found)+1)
	for _, f := range found {
		p := trace.Place{Cursor: f.Cursor.String(), LoggedAt: f.LoggedAt, DuplicateOf: f.DuplicateOf.String()}
		if m := f.Message; m == nil {
			p.Poison = true
		} else {
			p.Type, p.TTL, p.Bytes, p.Receipt = m.Type, int(m.TTL/time.Second), len(m.Data), m.Receipt
			for _, t := range m.To {
				p.To = append(p.To, t.String())
			}
		}
		all = append(all, p)
	}
	return all
}

func hasPlace(found []stream.Found, at domain.Cursor) bool {
	for _, f := range found {
		if f.Cursor.Log == at.Log && f.Cursor.Position == at.Position {
			return true
		}
	}
	return false
}

// askAll asks all nodes what became of the message.
func (c *call) askAll(r *trace.Report) *Problem {
	q := trace.Question{System: r.System, ID: r.ID, User: r.User, Places: shortened(r.Places)}
	body, err := json.Marshal(q)
	if err != nil {
		return c.unread(err)
	}
	answers, err := c.api.cfg.Asker.Ask(c.ctx, trace.Kind, body)
	switch {
	case errors.Is(err, domain.ErrInvalid):
		return problem(http.StatusUnprocessableEntity, "the message cannot be asked for: "+err.Error())
	case err != nil:
		return c.explain(control.Key{Kind: "trace"}, err)
	}
	for _, from := range answers.From {
		n := trace.Node{Node: from.Node, Incarnation: from.Incarnation, Error: from.Err}
		if from.Err == "" {
			if err := json.Unmarshal(from.Body, &n.Answer); err != nil {
				n.Error = "its answer cannot be read"
			}
		}
		r.Nodes = append(r.Nodes, n)
	}
	r.Silent = answers.Silent
	return nil
}

// targetBytes is about how many bytes of targets are sent along with a question. A node that
// has the message in its window knows all of them.
const targetBytes = 12 << 10

// shortened returns places with as many of their targets as a question has room for.
func shortened(places []trace.Place) []trace.Place {
	short := make([]trace.Place, len(places))
	copy(short, places)
	for i := range short {
		left := targetBytes / len(short)
		for n, t := range short[i].To {
			if left -= len(t) + 3; left < 0 {
				short[i].To = short[i].To[:n:n]
				break
			}
		}
	}
	return short
}

// gone returns the nodes that were heard after the oldest place was logged, and are not there
// any more.
func (c *call) gone(r *trace.Report) (all []trace.Gone) {
	if c.api.cfg.Gone == nil {
		return nil
	}
	for _, g := range c.api.cfg.Gone() {
		if len(r.Places) == 0 || g.Heard.Add(goneSlack).Before(r.Places[0].LoggedAt) {
			continue
		}
		all = append(all, trace.Gone{Node: g.Name, Incarnation: g.Incarnation, Heard: g.Heard})
	}
	return all
}

// goneSlack is how long a node may have lived on after it was heard last.
const goneSlack = 10 * time.Second
