package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/api"
)

// past is a History that remembers what it was asked, and answers what its fields say.
type past struct {
	asker stream.Asker
	part  stream.Part
	asked int
	page  stream.Excerpt
	at    domain.Cursor
	err   error
}

func (p *past) Cursor(_ context.Context, _ domain.System, user string) (domain.Cursor, error) {
	p.asked++
	p.asker = stream.Asker{User: user}
	return p.at, p.err
}

func (p *past) Page(_ context.Context, _ domain.System, asker stream.Asker, part stream.Part) (stream.Excerpt, error) {
	p.asked++
	p.asker, p.part = asker, part
	return p.page, p.err
}

// guests is a Clientele of users whose tokens are "user=" and their names, and who may be in
// the room x.
type guests struct{ rejected error }

func (g *guests) MayRead(r *http.Request, _ domain.System) (stream.Asker, func(domain.Target) bool, error) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer user=")
	if query := r.URL.Query().Get("user"); query != "" {
		name, ok = query, true
	}
	if !ok {
		return stream.Asker{}, nil, domain.ErrUnauthenticated
	}
	may := func(t domain.Target) bool {
		return t == domain.Everyone || t.String() == "user:"+name || t.String() == "room:x"
	}
	return stream.Asker{User: name, Address: "192.0.2.1"}, may, nil
}

func (g *guests) Reject(w http.ResponseWriter, _ *http.Request, err error) {
	g.rejected = err
	w.WriteHeader(http.StatusUnauthorized)
}

func (g *guests) AllowedOrigin(r *http.Request) (string, bool) {
	origin := r.Header.Get("Origin")
	return origin, !strings.Contains(origin, "evil")
}

// strictKeys knows keys that are scopes, joined by +, and one that has expired.
type strictKeys struct{}

func (strictKeys) Authorize(_ context.Context, key string) (domain.Scopes, error) {
	switch {
	case key == "expired":
		return nil, &domain.CredentialError{Reason: "expired", Detail: "x", Told: "this API key has expired"}
	case key == "" || strings.HasPrefix(key, "user=") || key == "nonsense":
		return nil, &domain.CredentialError{Reason: "unknown", Detail: "x"}
	}
	return strings.Split(key, "+"), nil
}

var errGreedy = errors.New("too much")

func remembering(t *testing.T, p api.History, keys api.Authorizer, g api.Clientele) http.Handler {
	t.Helper()
	a, err := api.New(&bus{}, keys, &node{}, api.Config{
		History: p, Clientele: g, Greedy: func(err error) bool { return errors.Is(err, errGreedy) },
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Publishing(mux)
	a.Remembering(mux)
	a.Admin(mux, http.NotFoundHandler())
	return mux
}

func lookUp(h http.Handler, path, key string, header ...string) *httptest.ResponseRecorder {
	if key != "" {
		header = append(header, "Authorization", "Bearer "+key)
	} else {
		header = append(header, "Authorization", "")
	}
	return ask(h, "GET", "/v1/systems/"+path, "", header...)
}

func namesOf(all []domain.Target) (list []string) {
	for _, t := range all {
		list = append(list, t.String())
	}
	return list
}

func TestWhoMayReadWhichMessages(t *testing.T) {
	p, g := &past{}, &guests{}
	h := remembering(t, p, strictKeys{}, g)
	for _, c := range []struct {
		key, query string
		status     int
		targets    string // who the part is for
		user       string
	}{
		{"read/orders", "", 200, "", ""},
		{"read/*+publish/orders", "?to=user:bob&to=room:y&to=user:bob&to=session:s", 200, "user:bob room:y session:s", ""},
		{"*", "?to=*", 200, "*", ""},
		{"publish/orders", "", 403, "", ""},
		{"read/chat", "", 403, "", ""},
		{"admin", "", 403, "", ""},
		{"expired", "", 401, "", ""},
		{"user=alice", "", 200, "user:alice *", "alice"},
		{"user=alice", "?to=room:x", 200, "room:x", "alice"},
		{"user=alice", "?to=room:x&to=user:bob", 403, "", ""},
		{"user=alice", "?to=session:s", 403, "", ""},
		{"", "?user=carol", 200, "user:carol *", "carol"},
		{"nonsense", "", 401, "", ""},
		{"", "", 401, "", ""},
		{"read/orders", "?user=carol", 422, "", ""},
		{"read/orders", "?limit=1001", 422, "", ""},
		{"read/orders", "?limit=0", 422, "", ""},
		{"read/orders", "?limit=x", 422, "", ""},
		{"read/orders", "?to=nobody", 422, "", ""},
		{"read/orders", "?before=x", 422, "", ""},
		{"read/orders", "?after=", 422, "", ""},
		{"read/orders", "?before=" + someCursor + "&after=" + someCursor, 422, "", ""},
		{"read/orders", "?before=" + someCursor + "&before=" + someCursor, 422, "", ""},
		{"read/orders", "?to=user:a" + strings.Repeat("&to=user:a", 100), 422, "", ""},
		{"read/orders", "?since=1", 422, "", ""},
		{"read/orders", "?_=1", 200, "", ""},
	} {
		*p, *g = past{}, guests{}
		w := lookUp(h, "orders/messages"+c.query, c.key)
		if w.Code != c.status || p.asked != map[bool]int{true: 1}[c.status == 200] {
			t.Errorf("%s %s: %d %s, asked %d times", c.key, c.query, w.Code, w.Body, p.asked)
			continue
		}
		if got := strings.Join(namesOf(p.part.Targets), " "); got != c.targets || p.asker.User != c.user {
			t.Errorf("%s %s: for %q on behalf of %+v", c.key, c.query, got, p.asker)
		}
	}
	lookUp(h, "orders/messages", "read/orders")
	one := p.asker
	lookUp(h, "orders/messages", "read/*")
	if one == p.asker || one.Address == "" {
		t.Errorf("two keys are one asker: %+v, %+v", one, p.asker)
	}
}

var someCursor = domain.Cursor{Log: 7, Position: "x"}.String()

func TestAPageIsWrittenAsItWasRead(t *testing.T) {
	p := &past{}
	h := remembering(t, p, strictKeys{}, &guests{})
	at, err := domain.ParseCursor(someCursor)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		page stream.Excerpt
		want string
	}{
		{stream.Excerpt{}, `{"system":"orders","messages":[],"complete":true}`},
		{stream.Excerpt{Messages: [][]byte{[]byte(`{"a":1}`), []byte(`{"b":2}`)}, Next: at},
			`{"system":"orders","messages":[{"a":1},{"b":2}],"next":"` + someCursor + `","complete":true}`},
		{stream.Excerpt{Messages: [][]byte{[]byte(`{}`)}, Reason: domain.Trimmed},
			`{"system":"orders","messages":[{}],"complete":false,"reason":"trimmed"}`},
	} {
		p.page = c.page
		w := lookUp(h, "orders/messages?before="+someCursor+"&limit=7", "*")
		if diff := cmp.Diff(c.want+"\n", w.Body.String()); diff != "" || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
			t.Errorf("%v (-want +got):\n%s", w.Header(), diff)
		}
		if p.part.Before != at || !p.part.After.IsZero() || p.part.Most != 7 {
			t.Errorf("asked for %+v", p.part)
		}
	}
	lookUp(h, "orders/messages?after="+someCursor, "*")
	if p.part.After != at || !p.part.Before.IsZero() || p.part.Most != 100 {
		t.Errorf("asked for %+v", p.part)
	}
}

func TestTheCursorOfASystem(t *testing.T) {
	p := &past{at: domain.Cursor{Log: 7, Position: "x"}}
	h := remembering(t, p, strictKeys{}, &guests{})
	var got struct{ System, Cursor, Time string }
	w := lookUp(h, "orders/cursor", "user=alice")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.System != "orders" || got.Cursor != someCursor ||
		got.Time == "" || p.asker.User != "alice" {
		t.Errorf("%d %s, for %+v", w.Code, w.Body, p.asker)
	}
	for what, status := range map[string]int{"orders/cursor?to=x": 422, "Orders/cursor": 422} {
		if w := lookUp(h, what, "*"); w.Code != status {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
}

func TestWhatCannotBeReadNowIsAProblem(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{fmt.Errorf("x: %w", domain.ErrNotServed), 404},
		{fmt.Errorf("x: %w", errGreedy), 429},
		{fmt.Errorf("x: %w", domain.ErrLimit), 503},
		{fmt.Errorf("x: %w", domain.ErrBusDown), 503},
		{fmt.Errorf("x: %w", domain.ErrClosed), 503},
		{context.DeadlineExceeded, 503},
		{domain.ErrInvalid, 422},
		{errors.New("something else"), 500},
	} {
		h := remembering(t, &past{err: c.err}, strictKeys{}, &guests{})
		for _, path := range []string{"orders/messages", "orders/cursor"} {
			w := lookUp(h, path, "*")
			if explained(t, w); w.Code != c.status || (w.Header().Get("Retry-After") != "") != (c.status == 429 || c.status == 503) {
				t.Errorf("%s: %v: %d %s", path, c.err, w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "something else") {
				t.Errorf("it tells the cause: %s", w.Body)
			}
		}
	}
	h := remembering(t, nil, strictKeys{}, &guests{})
	if w := lookUp(h, "orders/messages", "*"); w.Code != 501 {
		t.Errorf("without a history: %d %s", w.Code, w.Body)
	}
}

func TestPagesOfAllowedOriginsReadHistories(t *testing.T) {
	h := remembering(t, &past{}, strictKeys{}, &guests{})
	for _, path := range []string{"orders/messages", "orders/cursor"} {
		for origin, allowed := range map[string]bool{"https://app.example": true, "https://evil.example": false} {
			w := lookUp(h, path, "user=alice", "Origin", origin)
			if got := w.Header().Get("Access-Control-Allow-Origin"); (got == origin) != allowed || w.Header().Get("Vary") != "Origin" {
				t.Errorf("%s from %s: %v", path, origin, w.Header())
			}
			w = ask(h, "OPTIONS", "/v1/systems/"+path, "", "Origin", origin)
			if (w.Code == 204) != allowed || allowed && w.Header().Get("Access-Control-Allow-Methods") != "GET" {
				t.Errorf("%s before a request from %s: %d %v", path, origin, w.Code, w.Header())
			}
		}
	}
	w := ask(h, "PUT", "/v1/systems/orders/messages", "")
	if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD, OPTIONS, POST" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// Pages that clients are slow to read take memory, so one asker has room for a few of them.
func TestPagesThatAreNotReadAreBounded(t *testing.T) {
	p := &past{page: stream.Excerpt{Messages: [][]byte{bytes.Repeat([]byte{'1'}, 1<<20)}}}
	h := remembering(t, p, strictKeys{}, &guests{})
	read := make(chan struct{})
	begun, ended := make(chan struct{}), make(chan struct{})
	const room = 8
	for range room {
		go func() {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/systems/orders/messages", nil)
			r.Header.Set("Authorization", "Bearer user=alice")
			h.ServeHTTP(&slowReader{httptest.NewRecorder(), begun, read}, r)
			ended <- struct{}{}
		}()
		<-begun
	}
	if w := lookUp(h, "orders/messages", "user=alice"); w.Code != http.StatusTooManyRequests {
		t.Errorf("one more: %d", w.Code)
	}
	if w := lookUp(h, "orders/messages", "user=bob"); w.Code != http.StatusOK {
		t.Errorf("for somebody else: %d", w.Code)
	}
	close(read)
	for range room {
		<-ended
	}
	if w := lookUp(h, "orders/messages", "user=alice"); w.Code != http.StatusOK {
		t.Errorf("after they were read: %d", w.Code)
	}
}

// slowReader reads nothing before read is closed.
type slowReader struct {
	*httptest.ResponseRecorder
	begun chan<- struct{}
	read  <-chan struct{}
}

func (r *slowReader) Write(b []byte) (int, error) {
	r.begun <- struct{}{}
	<-r.read
	return len(b), nil
}

func TestTheRoutesOfHistoriesAreDescribed(t *testing.T) {
	h := remembering(t, &past{}, strictKeys{}, &guests{})
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name, In, Description string
				Example               any
			}
			Responses map[string]struct{ Description string }
		}
	}
	if err := json.Unmarshal(ask(h, "GET", "/openapi.json", "").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	docs := ask(h, "GET", "/docs", "").Body.String()
	for path, query := range map[string]string{"messages": "to before after limit", "cursor": ""} {
		full := "/v1/systems/{system}/" + path
		op := doc.Paths[full]["get"]
		var known []string
		for _, p := range op.Parameters {
			if p.Description == "" || p.Example == nil {
				t.Errorf("%s: %+v", path, p)
			}
			if p.In == "query" {
				known = append(known, p.Name)
			}
		}
		if strings.Join(known, " ") != query || !strings.Contains(docs, "GET "+full) {
			t.Errorf("%s: described are %v", path, known)
		}
		for _, status := range strings.Fields("200 401 403 404 422 501 503") {
			if op.Responses[status].Description == "" {
				t.Errorf("%s: %s is not described", path, status)
			}
		}
	}
}
