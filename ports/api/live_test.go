package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/api"
)

// counts is a Counter that counts how often the other nodes were asked.
type counts struct{ asked atomic.Int64 }

func (c *counts) Counts() api.Counts {
	return api.Counts{AtMS: 5, BusUp: true, Sessions: 7, Systems: []api.SystemCounts{{System: "chat", Delivered: 3}}}
}

// Ask has n2 answer, n3 answer what nobody can read, and n4 not answer.
func (c *counts) Ask(_ context.Context, kind string, body []byte) (control.Answers, error) {
	c.asked.Add(1)
	if kind != api.CountsKind || len(body) > 0 {
		return control.Answers{}, domain.ErrInvalid
	}
	return control.Answers{From: []control.Answer{
		{Node: "n2", Incarnation: "I2", Body: []byte(`{"at_ms":9,"sessions":11,"systems":[]}`)},
		{Node: "n3", Incarnation: "I3", Body: []byte(`[`)},
	}, Silent: []string{"n4"}}, nil
}

// shown is what the test reads of an event of /v1/live.
type shown struct {
	Node   string   `json:"node"`
	Alone  bool     `json:"alone"`
	Silent []string `json:"silent"`
	Nodes  []struct {
		Name     string      `json:"name"`
		Sessions int         `json:"sessions"`
		Counts   *api.Counts `json:"counts"`
	} `json:"nodes"`
}

// watching opens /v1/live, and returns what reads the next event; it returns false at the end.
func watching(t *testing.T, server *httptest.Server, key string) (next func() (shown, bool)) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %q", answer.Status, answer.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(answer.Body)
	return func() (e shown, more bool) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &e); err != nil {
					t.Errorf("%s: %v", data, err)
				}
				return e, true
			}
		}
		return e, false
	}
}

func TestAWatcherSeesWhatAllNodesCountUntilTheNodeEnds(t *testing.T) {
	counter := &counts{}
	p := &plane{nodes: []control.NodeInfo{
		{Name: "n1", Incarnation: "I1", Self: true}, {Name: "n2", Incarnation: "I2"}, {Name: "n3", Incarnation: "I3"}, {Name: "n4", Incarnation: "I4"},
	}}
	a, h := controlled(t, p, api.Config{Counter: counter, Asker: counter, AnswerTime: 20 * time.Second})
	server := httptest.NewServer(h)
	defer server.Close()
	next := watching(t, server, "admin")
	for heard := false; !heard; { // the other node is asked beside the first event
		e, more := next()
		if !more || len(e.Nodes) != 4 {
			t.Fatalf("%+v, %v", e, more)
		}
		if own := e.Nodes[0]; own.Sessions != 7 || own.Counts.Systems[0].Delivered != 3 {
			t.Errorf("of this node: %+v", own)
		}
		if e.Nodes[2].Counts != nil || e.Nodes[3].Counts != nil {
			t.Errorf("n3 and n4 have said nothing: %+v", e)
		}
		heard = e.Nodes[1].Counts != nil && e.Nodes[1].Sessions == 11 && slices.Equal(e.Silent, []string{"n3", "n4"})
	}
	a.Close()
	a.Close()
	for more := true; more; {
		_, more = next()
	}
	if counter.asked.Load() == 0 {
		t.Error("nobody was asked")
	}
}

func TestANodeAnswersWhatItCounts(t *testing.T) {
	a, _ := controlled(t, &plane{}, api.Config{Counter: &counts{}})
	var c api.Counts
	if body, err := a.AnswerCounts(t.Context(), nil); err != nil || json.Unmarshal(body, &c) != nil || c.Sessions != 7 {
		t.Errorf("%s, %v", body, err)
	}
	a, _ = controlled(t, &plane{}, api.Config{})
	if body, err := a.AnswerCounts(t.Context(), nil); err == nil {
		t.Errorf("a node that counts nothing answers %s", body)
	}
}

func TestWithoutTheControlPlaneAWatcherSeesTheNodeItself(t *testing.T) {
	a, h := controlled(t, nil, api.Config{Counter: &counts{}})
	server := httptest.NewServer(h)
	defer server.Close()
	defer a.Close()
	e, more := watching(t, server, "*")()
	if !more || !e.Alone || len(e.Nodes) != 1 || e.Nodes[0].Counts == nil || len(e.Silent) != 0 {
		t.Errorf("%+v, %v", e, more)
	}
}

func TestWhoMayNotWatchIsToldWhy(t *testing.T) {
	_, h := controlled(t, &plane{}, api.Config{})
	for want, r := range map[int]*http.Request{
		401: httptest.NewRequest("GET", "/v1/live", nil),
		403: httptest.NewRequest("GET", "/v1/live", nil),
		405: httptest.NewRequest("POST", "/v1/live", nil),
		422: httptest.NewRequest("GET", "/v1/live?every=1s", nil),
	} {
		switch want {
		case 403:
			r.Header.Set("Authorization", "Bearer publish/chat")
		case 422:
			r.Header.Set("Authorization", "Bearer admin")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if explained(t, w); w.Code != want {
			t.Errorf("%d, want %d: %s", w.Code, want, w.Body)
		}
	}
}

// fickle grants everything to a number of questions, and nothing after that.
type fickle struct{ left atomic.Int64 }

func (f *fickle) Authorize(context.Context, string) (domain.Scopes, error) {
	if f.left.Add(-1) < 0 {
		return nil, domain.ErrUnauthenticated
	}
	return domain.Scopes{"*"}, nil
}

func TestAKeyThatIsGoodNoMoreEndsTheWatch(t *testing.T) {
	keys := &fickle{}
	keys.left.Store(1)
	a, err := api.New(&bus{}, keys, &node{}, api.Config{Control: &plane{}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Controlling(mux)
	server := httptest.NewServer(mux)
	defer server.Close()
	next := watching(t, server, "any")
	if _, more := next(); !more {
		t.Error("there was no event")
	}
	if _, more := next(); more {
		t.Error("there was one more event")
	}
}

func TestOnlySoManyMayWatchAtATime(t *testing.T) {
	a, h := controlled(t, &plane{}, api.Config{})
	server := httptest.NewServer(h)
	defer server.Close()
	defer a.Close()
	for range 32 {
		if _, more := watching(t, server, "admin")(); !more {
			t.Fatal("no event")
		}
	}
	w := ask(h, "GET", "/v1/live", "")
	if explained(t, w); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestCountsHaveBoundedlyManySystems(t *testing.T) {
	var all []api.SystemCounts
	for i := range 150 {
		all = append(all, api.SystemCounts{System: string(rune('a'+i%26)) + strings.Repeat("x", i/26), Sessions: i})
	}
	kept, left := api.Bound(all)
	if len(kept) != 100 || left != 50 {
		t.Fatalf("%d and %d", len(kept), left)
	}
	for i, s := range kept {
		if s.Sessions < 50 || i > 0 && kept[i-1].System >= s.System {
			t.Errorf("%d: %+v", i, s)
		}
	}
}

func TestTheLargestCountsFitIntoAnAnswer(t *testing.T) {
	name := strings.Repeat("s", 64)
	const most = math.MaxInt64
	c := api.Counts{AtMS: most, Sessions: most, Users: most, Opened: most, Closed: most, Refused: most, Left: most}
	for range api.MaxDeaf {
		c.Deaf = append(c.Deaf, name)
	}
	for range 200 {
		c.Systems = append(c.Systems, api.SystemCounts{
			System: name, Sessions: 1e7, Behind: 1e7, Messages: 1e15, Matched: 1e15, Delivered: 1e15, Gaps: 1e15, Window: 1e12,
		})
	}
	c.Systems, _ = api.Bound(c.Systems)
	if text, err := json.Marshal(c); err != nil || len(text) > control.MaxBody {
		t.Errorf("%d bytes, at most %d: %v", len(text), control.MaxBody, err)
	}
}
