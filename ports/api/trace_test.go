package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/domain/trace"
	"github.com/fanfarebus/fanfare/ports/api"
)

// A finder finds what it is told to.
type finder struct {
	found    []stream.Found
	partial  bool
	err      error
	trimmed  bool
	trouble  error // of Trimmed
	asked    string
	askedFor domain.System
}

func (f *finder) Find(_ context.Context, system domain.System, id string) ([]stream.Found, bool, error) {
	f.asked, f.askedFor = id, system
	return f.found, !f.partial, f.err
}

func (f *finder) Trimmed(context.Context, domain.System) (bool, error) { return f.trimmed, f.trouble }

// An asker answers what it is told to.
type asker struct {
	answers control.Answers
	err     error
	q       trace.Question
}

func (a *asker) Ask(_ context.Context, kind string, body []byte) (control.Answers, error) {
	if err := json.Unmarshal(body, &a.q); err != nil || kind != trace.Kind {
		return control.Answers{}, fmt.Errorf("%s: %s: %w", kind, body, domain.ErrInvalid)
	}
	return a.answers, a.err
}

var tracedAt = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func foundAt(position string, m *domain.Message) stream.Found {
	at := domain.Cursor{Log: 7, Position: domain.Position(position), Time: tracedAt}
	return stream.Found{Cursor: at, LoggedAt: tracedAt, Message: m}
}

func messageFor(t *testing.T, targets ...string) *domain.Message {
	m := &domain.Message{ID: "m1", Type: "x", TTL: 2 * time.Second, Data: []byte("12")}
	for _, text := range targets {
		to, err := domain.ParseTarget(text)
		if err != nil {
			t.Fatal(err)
		}
		m.To = append(m.To, to)
	}
	return m
}

const tracePath = "/v1/systems/chat/messages/m1/trace"

func traceOf(t *testing.T, f *finder, a *asker, query string, gone ...control.Gone) (r trace.Report) {
	t.Helper()
	_, h := controlled(t, &plane{}, api.Config{Finder: f, Asker: a, Gone: func() []control.Gone { return gone }})
	w := ask(h, "GET", tracePath+query, "")
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTraceSaysWhatTheNodesAnswered(t *testing.T) {
	again := foundAt("b", messageFor(t, "user:alice"))
	again.DuplicateOf = domain.Cursor{Log: 7, Position: "a"}
	f := &finder{found: []stream.Found{foundAt("a", messageFor(t, "user:alice", "room:x")), again, foundAt("c", nil)}}
	seen := trace.Answer{Reads: true, Places: []trace.Seen{{State: trace.Read, Of: []trace.Told{{Session: "s", Fate: trace.Written}}}}}
	body, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	a := &asker{answers: control.Answers{
		From:   []control.Answer{{Node: "n1", Incarnation: "i1", Body: body}, {Node: "n2", Err: control.UnknownKind}, {Node: "n3", Body: []byte("[")}},
		Silent: []string{"n4"},
	}}
	died := control.Gone{Name: "n5", Incarnation: "i5", Heard: tracedAt.Add(-5 * time.Second)}
	before := control.Gone{Name: "n6", Heard: tracedAt.Add(-time.Hour)}
	r := traceOf(t, f, a, "?user=alice", died, before)

	want := trace.Report{
		System: "chat", ID: "m1", User: "alice", Complete: true, Silent: []string{"n4"},
		Places: []trace.Place{
			{Cursor: f.found[0].Cursor.String(), LoggedAt: tracedAt, To: []string{"user:alice", "room:x"}, Type: "x", TTL: 2, Bytes: 2},
			{Cursor: again.Cursor.String(), LoggedAt: tracedAt, To: []string{"user:alice"}, Type: "x", TTL: 2, Bytes: 2, DuplicateOf: again.DuplicateOf.String()},
			{Cursor: f.found[2].Cursor.String(), LoggedAt: tracedAt, Poison: true},
		},
		Nodes: []trace.Node{
			{Node: "n1", Incarnation: "i1", Answer: seen}, {Node: "n2", Error: control.UnknownKind},
			{Node: "n3", Error: "its answer cannot be read"},
		},
		Gone: []trace.Gone{{Node: "n5", Incarnation: "i5", Heard: died.Heard}},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(trace.Question{System: "chat", ID: "m1", User: "alice", Places: want.Places}, a.q); diff != "" {
		t.Errorf("the question (-want +got):\n%s", diff)
	}
}

// A question is one message of the control topic, so it has not all of a thousand targets.
func TestTraceAsksWithFewTargets(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("user:%d%s", i, strings.Repeat("x", 200)))
	}
	a := &asker{}
	r := traceOf(t, &finder{found: []stream.Found{foundAt("a", messageFor(t, many...))}}, a, "")
	if n := len(a.q.Places[0].To); n < 10 || n > 100 || len(r.Places[0].To) != 1000 {
		t.Errorf("asked with %d targets, answered with %d", n, len(r.Places[0].To))
	}
}

func TestTraceSaysWhyAMessageIsNotFound(t *testing.T) {
	at := domain.Cursor{Log: 7, Position: "z", Time: tracedAt}
	for name, c := range map[string]struct {
		finder           finder
		query            string
		places           int
		complete         bool
		reason, question string
	}{
		"trimmed":     {finder{trimmed: true}, "", 0, true, "trimmed", ""},
		"never there": {finder{}, "", 0, true, "", ""},
		"too far":     {finder{partial: true}, "", 0, false, "too_far", ""},
		"no log":      {finder{partial: true, trouble: domain.ErrUnsupported}, "", 0, false, "lossy", ""},
		"by cursor":   {finder{trimmed: true}, "?cursor=" + at.String(), 1, true, "trimmed", at.String()},
		"by cursor, with the bus down": {
			finder{partial: true, err: domain.ErrBusDown, trouble: domain.ErrBusDown}, "?cursor=" + at.String(), 1, false, "too_far", at.String(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &asker{}
			r := traceOf(t, &c.finder, a, c.query)
			if len(r.Places) != c.places || r.Complete != c.complete || r.Reason != c.reason || r.Nodes == nil {
				t.Errorf("%+v", r)
			}
			if c.question != "" && (len(a.q.Places) != 1 || a.q.Places[0].Cursor != c.question) {
				t.Errorf("asked for %+v", a.q.Places)
			}
		})
	}
}

func TestTraceIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		finder finder
		asker  asker
		query  string
		key    string
		status int
		detail string
	}{
		"another scope":   {key: "publish/chat", status: 403, detail: "admin"},
		"a bad cursor":    {query: "?cursor=x", status: 422, detail: "cursor"},
		"a bad user":      {query: "?user=", status: 422, detail: "user"},
		"the bus is down": {finder: finder{err: domain.ErrBusDown}, status: 503, detail: "cannot be read"},
		"too many":        {finder: finder{err: domain.ErrLimit}, status: 429, detail: "too much"},
		"something else":  {finder: finder{err: http.ErrHandlerTimeout}, status: 500, detail: "log"},
		"too many ask":    {asker: asker{err: domain.ErrLimit}, status: 429, detail: "too many"},
	} {
		t.Run(name, func(t *testing.T) {
			_, h := controlled(t, &plane{}, api.Config{Finder: &c.finder, Asker: &c.asker})
			key := c.key
			if key == "" {
				key = "admin"
			}
			w := ask(h, "GET", tracePath+c.query, "", "Authorization", "Bearer "+key)
			if p := explained(t, w); w.Code != c.status || !strings.Contains(p.Detail+fmt.Sprint(p.Errors), c.detail) {
				t.Errorf("%d %s, want %d with %q", w.Code, w.Body, c.status, c.detail)
			}
		})
	}
}

// A node whose control plane is off answers for itself.
func TestTraceNeedsNoControlPlane(t *testing.T) {
	_, h := controlled(t, nil, api.Config{Finder: &finder{}, Asker: &asker{}})
	if w := ask(h, "GET", tracePath, ""); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
