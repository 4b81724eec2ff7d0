package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/api"
)

// asked is an Asker that remembers what it was asked.
type asked struct {
	mu      sync.Mutex
	got     string
	answers control.Answers
	byKind  map[string]control.Answers // go before answers
	err     error
}

func (a *asked) Ask(_ context.Context, kind string, body []byte) (control.Answers, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = kind + " " + string(body)
	if answers, is := a.byKind[kind]; is {
		return answers, a.err
	}
	return a.answers, a.err
}

// set sets what is answered to a kind of question.
func (a *asked) set(kind string, answers control.Answers) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byKind == nil {
		a.byKind = make(map[string]control.Answers)
	}
	a.byKind[kind] = answers
}

func TestSessionsOfAUserAreListed(t *testing.T) {
	nodes := &asked{answers: control.Answers{
		From: []control.Answer{
			{Node: "n1", Body: []byte(`{"sessions":[{"id":"B","node":"liar","port":"ws","connected":"2026-11-30T10:00:02Z","pending_frames":3,` +
				`"systems":[{"system":"chat","state":"live","cursor":"c","rooms":["lobby"]}]}],"more":2}`)},
			{Node: "n2", Body: []byte(`{"sessions":[{"id":"A","port":"sse","connected":"2026-11-30T10:00:01Z"}],"more":1}`)},
			{Node: "n3", Err: "unknown"},
			{Node: "n4", Body: []byte(`[]`)},
		},
		Silent: []string{"n5"}, Complete: true,
	}}
	_, h := controlled(t, &plane{}, api.Config{Asker: nodes})
	w := ask(h, "GET", "/v1/users/alice/sessions", "")
	var got struct {
		User     string
		Sessions []struct {
			ID, Node, Port string
			Pending        int `json:"pending_frames"`
			Systems        []struct{ System, State, Cursor string }
		}
		More     int
		Silent   []string
		Failed   []struct{ Node, Error string }
		Complete bool
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	if nodes.got != `sessions {"user":"alice"}` {
		t.Errorf("asked %s", nodes.got)
	}
	if got.User != "alice" || got.More != 3 || len(got.Sessions) != 2 || got.Complete || len(got.Silent) != 1 || got.Silent[0] != "n5" {
		t.Fatalf("%s", w.Body)
	}
	if s := got.Sessions; s[0].ID != "A" || s[0].Node != "n2" || s[0].Systems == nil || s[1].ID != "B" || s[1].Node != "n1" ||
		s[1].Pending != 3 || s[1].Systems[0].Cursor != "c" {
		t.Errorf("%+v", s)
	}
	if f := got.Failed; len(f) != 2 || f[0].Node != "n3" || f[0].Error != "unknown" || f[1].Node != "n4" || !strings.Contains(f[1].Error, "cannot be read") {
		t.Errorf("%+v", f)
	}

	for _, tt := range []struct {
		err    error
		status int
		detail string
	}{
		{domain.ErrLimit, 429, "too many questions"}, {domain.ErrClosed, 503, "shutting down"},
		{errors.New("secret"), 500, "log says why"},
	} {
		nodes.err = tt.err
		if p := explained(t, ask(h, "GET", "/v1/users/alice/sessions", "")); p.Status != tt.status || !strings.Contains(p.Detail, tt.detail) {
			t.Errorf("%v: %+v", tt.err, p)
		}
	}
	if p := explained(t, ask(h, "GET", "/v1/users/alice/sessions", "", "Authorization", "Bearer publish/chat")); p.Status != 403 {
		t.Errorf("%+v", p)
	}
}

// Without the control plane the node has nobody to ask but itself.
func TestSessionsAreListedWithoutAControlPlane(t *testing.T) {
	nodes := &asked{answers: control.Answers{From: []control.Answer{{Node: "n1", Body: []byte(`{"sessions":[]}`)}}}}
	_, h := controlled(t, nil, api.Config{Asker: nodes})
	w := ask(h, "GET", "/v1/users/alice/sessions", "")
	if want := `{"user":"alice","sessions":[],"complete":false}` + "\n"; w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
