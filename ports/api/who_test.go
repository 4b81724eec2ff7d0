package api_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/api"
)

// decode returns an answer without the times that change.
func decode(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if as, ok := got["as_of"].(string); ok {
		if at, err := time.Parse(time.RFC3339, as); err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("as_of %s: %v", as, err)
		}
		delete(got, "as_of")
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("the answer may be cached")
	}
	return got
}

func parsed(t *testing.T, text string) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWhoIsThere(t *testing.T) {
	p := &plane{present: []control.Present{{User: "alice", Sessions: 2, Since: 1764509100123}, {User: "bob", Sessions: 1}, {User: "carol", Since: 1764509100000}}}
	_, h := controlled(t, p, api.Config{})
	alice := `{"user":"alice","sessions":2,"since":"2025-11-30T13:25:00.123Z"}`
	bob, carol := `{"user":"bob","sessions":1}`, `{"user":"carol","sessions":0,"since":"2025-11-30T13:25:00Z"}`
	for _, tt := range []struct{ method, query, body, want string }{
		{"GET", "", "", `{"system":"chat","count":3,"users":[` + alice + `,` + bob + `,` + carol + `],"complete":true}`},
		{"GET", "?room=a%2Fb", "", `{"system":"chat","room":"a/b","count":3,"users":[` + alice + `,` + bob + `,` + carol + `],"complete":true}`},
		{"GET", "?limit=2", "", `{"system":"chat","count":3,"users":[` + alice + `,` + bob + `],"next":"bob","complete":true}`},
		{"GET", "?limit=2&after=bob", "", `{"system":"chat","count":3,"users":[` + carol + `],"complete":true}`},
		{"GET", "?limit=0", "", `{"system":"chat","count":3,"users":[],"complete":true}`},
		{"GET", "?after=", "", `{"system":"chat","count":3,"users":[` + alice + `,` + bob + `,` + carol + `],"complete":true}`},
		{"GET", "?user=bob&room=r", "", `{"system":"chat","room":"r","count":3,"users":[` + bob + `],"complete":true}`},
		{"GET", "?user=dave", "", `{"system":"chat","count":3,"users":[],"complete":true}`},
		{"POST", "", `{"users":["carol","dave","alice"],"room":"r"}`, `{"system":"chat","room":"r","users":[` + carol + `,` + alice + `],"complete":true}`},
		{"POST", "", `{"users":[]}`, `{"system":"chat","users":[],"complete":true}`},
	} {
		got := decode(t, ask(h, tt.method, "/v1/systems/chat/presence"+tt.query, tt.body))
		if diff := cmp.Diff(parsed(t, tt.want), got); diff != "" {
			t.Errorf("%s %s: %s", tt.method, tt.query, diff)
		}
	}
	p.partial = true
	for method, body := range map[string]string{"GET": "", "POST": `{"users":["bob"]}`} {
		if got := decode(t, ask(h, method, "/v1/systems/chat/presence", body)); got["complete"] != false {
			t.Errorf("%s: %v", method, got)
		}
	}
	if w := ask(h, "HEAD", "/v1/systems/chat/presence", ""); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
}

func TestMembersComeInPages(t *testing.T) {
	p := &plane{}
	for i := range 250 {
		p.members = append(p.members, control.Fact{Key: control.Key{Name: fmt.Sprintf("u%03d", i)}, Left: time.Hour})
	}
	_, h := controlled(t, p, api.Config{})
	type answer struct {
		Members []struct {
			User    string
			Expires time.Time
		}
		Next string
	}
	after, seen, pages := "", 0, 0
	for ok := true; ok; pages++ {
		w := ask(h, "GET", "/v1/systems/chat/rooms/lobby/members?after="+after, "")
		var got answer
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for _, m := range got.Members {
			if m.User != fmt.Sprintf("u%03d", seen) || time.Until(m.Expires)-time.Hour > time.Second || time.Until(m.Expires) < 59*time.Minute {
				t.Errorf("member %d is %+v", seen, m)
			}
			seen++
		}
		after, ok = got.Next, got.Next != ""
	}
	if seen != 250 || pages != 3 {
		t.Errorf("%d members on %d pages", seen, pages)
	}
	for query, want := range map[string]string{"?limit=250": "", "?limit=249": "u248"} {
		var got answer
		if err := json.Unmarshal(ask(h, "GET", "/v1/systems/chat/rooms/lobby/members"+query, "").Body.Bytes(), &got); err != nil || got.Next != want {
			t.Errorf("%s: next %q, %v", query, got.Next, err)
		}
	}
	if got := decode(t, ask(h, "GET", "/v1/systems/chat/rooms/lobby/members?after=z", "")); !cmp.Equal(got["members"], []any{}) {
		t.Errorf("the end: %v", got)
	}
	if got := decode(t, ask(h, "GET", "/v1/systems/chat/rooms/lobby/members/u007", "")); got["member"] != true || got["expires"] == nil {
		t.Errorf("a member: %v", got)
	}
	if got := decode(t, ask(h, "GET", "/v1/systems/chat/rooms/lobby/members/x", "")); !cmp.Equal(got, map[string]any{"member": false}) {
		t.Errorf("no member: %v", got)
	}
}

func TestBlocksCanBeAskedFor(t *testing.T) {
	_, h := controlled(t, &plane{block: &control.Fact{Key: control.Key{Name: "a/b"}, Value: control.Value{Reason: "spam"}, Left: time.Hour}}, api.Config{})
	got := decode(t, ask(h, "GET", "/v1/users/a%2Fb/block", ""))
	at, err := time.Parse(time.RFC3339, fmt.Sprint(got["expires"]))
	if err != nil || got["blocked"] != true || got["reason"] != "spam" || time.Until(at).Round(time.Minute) != time.Hour {
		t.Errorf("blocked: %v, %v", got, err)
	}
	if got := decode(t, ask(h, "GET", "/v1/users/b/block", "")); !cmp.Equal(got, map[string]any{"blocked": false}) {
		t.Errorf("not blocked: %v", got)
	}
}

func TestNodesAreListed(t *testing.T) {
	_, h := controlled(t, &plane{nodes: []control.NodeInfo{
		{Name: "n1", Incarnation: "01A", Version: "v1", Self: true, InStep: true, Status: control.Status{Sessions: 3, Users: 2, Systems: []string{"chat"}, Lag: 1500 * time.Microsecond}},
		{Name: "n2", Heard: 2 * time.Second, ClockAhead: -time.Minute, Status: control.Status{Draining: true}},
	}}, api.Config{})
	want := `{"nodes":[
		{"name":"n1","incarnation":"01A","version":"v1","self":true,"sessions":3,"users":2,"systems":["chat"],"lag_ms":1,"draining":false,"heard_ms":0,"clock_ahead_ms":0,"in_step":true},
		{"name":"n2","incarnation":"","version":"","self":false,"sessions":0,"users":0,"systems":[],"lag_ms":0,"draining":true,"heard_ms":2000,"clock_ahead_ms":-60000,"in_step":false}]}`
	if diff := cmp.Diff(parsed(t, want), decode(t, ask(h, "GET", "/v1/nodes", ""))); diff != "" {
		t.Error(diff)
	}
	_, h = controlled(t, &plane{}, api.Config{})
	if got := decode(t, ask(h, "GET", "/v1/nodes", "")); !reflect.DeepEqual(got["nodes"], []any{}) {
		t.Errorf("no nodes: %v", got)
	}
}

// The document and the code are made of one table, but not all of either: what the
// document says of bodies and queries is what the routes take.
func TestTheDocumentSaysWhatTheRoutesTake(t *testing.T) {
	_, h := controlled(t, &plane{nodes: started}, api.Config{})
	var doc struct {
		Paths map[string]map[string]struct {
			Summary    string
			Parameters []struct {
				Name, In, Description string
				Required              bool
				Example               any
			}
			RequestBody struct {
				Content map[string]struct {
					Schema  struct{ Properties map[string]any }
					Example map[string]any
				}
			}
			Responses map[string]struct {
				Description string
				Content     map[string]struct{ Example any }
			}
		}
	}
	if err := json.Unmarshal(ask(h, "GET", "/openapi.json", "").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	docs := ask(h, "GET", "/docs", "").Body.String()
	fields, parameters := map[string]bool{}, map[string]bool{}
	n := 0
	for _, path := range doc.Paths {
		for _, op := range path {
			for name := range op.RequestBody.Content["application/json"].Schema.Properties {
				fields[name] = true
			}
			for _, p := range op.Parameters {
				parameters[p.Name] = parameters[p.Name] || p.In == "query"
			}
		}
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if !strings.HasPrefix(path, "/v1/") || strings.HasSuffix(path, "/messages") || strings.HasSuffix(path, "/cursor") || strings.HasSuffix(path, "/watch") {
				continue // see TestTheRoutesOfHistoriesAreDescribed
			}
			n++
			method = strings.ToUpper(method)
			if !strings.Contains(docs, method+" "+path) || op.Summary == "" {
				t.Errorf("%s %s is not on the page", method, path)
			}
			url := strings.NewReplacer("{user}", "u", "{room}", "r", "{id}", "s", "{system}", "chat", "{node}", "n1").Replace(path)
			query := map[string]bool{}
			for _, p := range op.Parameters {
				if p.Example == nil || p.Description == "" || p.Required != (p.In == "path") {
					t.Errorf("%s %s: parameter %+v", method, path, p)
				}
				query[p.Name] = p.In == "query"
			}
			for name, asQuery := range parameters {
				if !asQuery {
					continue
				}
				w := ask(h, method, url+"?"+name+"=%00", "")
				unknown := strings.Contains(w.Body.String(), "unknown parameter") || strings.Contains(w.Body.String(), "takes no parameters")
				if w.Code != 422 || unknown == query[name] {
					t.Errorf("%s %s?%s: %d %s", method, path, name, w.Code, w.Body)
				}
			}
			body := op.RequestBody.Content["application/json"]
			for name := range fields {
				w := ask(h, method, url, `{"`+name+`":[[]]}`)
				unknown := strings.Contains(w.Body.String(), "unknown field")
				if _, known := body.Schema.Properties[name]; w.Code != 422 || unknown == known || !strings.Contains(w.Body.String(), `"location":"`+name) {
					t.Errorf("%s %s: field %s: %d %s", method, path, name, w.Code, w.Body)
				}
			}
			example := ""
			if body.Example != nil {
				text, err := json.Marshal(body.Example)
				if err != nil {
					t.Fatal(err)
				}
				example = string(text)
			} else if len(body.Schema.Properties) > 0 {
				t.Errorf("%s %s has no example of a body", method, path)
			}
			if w := ask(h, method, url, example); w.Code >= 300 || op.Responses[fmt.Sprint(w.Code)].Description == "" {
				t.Errorf("%s %s: the example is answered %d %s", method, path, w.Code, w.Body)
			}
			for _, status := range []string{"200", "400", "401", "403", "413", "415", "422", "501", "503"} {
				for _, media := range op.Responses[status].Content {
					if media.Example == nil {
						t.Errorf("%s %s: %s has no example", method, path, status)
					}
				}
				if op.Responses[status].Description == "" || len(op.Responses[status].Content) != 1 {
					t.Errorf("%s %s: %s is not described", method, path, status)
				}
			}
		}
	}
	if n != 16 {
		t.Errorf("%d routes are described", n)
	}
}
