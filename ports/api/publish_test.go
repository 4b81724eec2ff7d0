package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/api"
)

// bus is a Publisher that remembers messages, or fails with err.
type bus struct {
	mu  sync.Mutex
	got []*domain.Message
	at  domain.Cursor // what Publish returns
	err error
}

func (b *bus) Publish(_ context.Context, _ domain.System, msgs ...*domain.Message) (domain.Cursor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.got = append(b.got, msgs...)
	}
	return b.at, b.err
}

// keys knows "shop", which may publish to some systems, and "ops".
type keys struct{}

func (keys) Authorize(_ context.Context, key string) (domain.Scopes, error) {
	switch key {
	case "shop":
		return domain.Scopes{"publish/orders", "publish/other"}, nil
	case "ops":
		return domain.Scopes{"*"}, nil
	}
	return nil, domain.ErrUnauthenticated
}

// node serves orders and chat.
type node struct{ health api.Health }

func (n *node) Serves(s domain.System) bool { return s.String() == "orders" || s.String() == "chat" }
func (n *node) Health() api.Health          { return n.health }

func newAPI(t testing.TB, p api.Publisher, cfg api.Config) (*api.API, http.Handler) {
	t.Helper()
	a, err := api.New(p, keys{}, &node{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Publishing(mux)
	return a, mux
}

// request returns a valid request; tests change what they are about.
func request(body string, header ...string) *http.Request {
	r := httptest.NewRequest("POST", "/v1/systems/orders/messages", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer shop")
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

type answer struct {
	Status   int
	Header   http.Header `json:"-"`
	Title    string
	Detail   string
	ID       string
	IDs      []string
	Accepted *int
	Errors   []api.Fault
}

func do(t testing.TB, h http.Handler, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("status %d, body %q: %v", w.Code, w.Body, err)
	}
	if w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d with content type %q", w.Code, w.Header().Get("Content-Type"))
	}
	if w.Code >= 400 && (a.Status != w.Code || a.Title == "") {
		t.Errorf("status %d, but the problem says %d %q", w.Code, a.Status, a.Title)
	}
	a.Status, a.Header = w.Code, w.Header()
	return a
}

const good = `{"to":"user:alice","data":{"n":1}}`

func TestSingleMessageIsPublishedUnderItsIDOrANewOne(t *testing.T) {
	var b bus
	a, h := newAPI(t, &b, api.Config{})
	if got := do(t, h, request(`{"to":"user:alice","data":{"n":1},"id":"a \"quoted\" id"}`)); got.Status != 202 || got.ID != `a "quoted" id` {
		t.Errorf("got %+v", got)
	}
	got := do(t, h, request(good))
	if got.Status != 202 || len(got.ID) != 26 || got.IDs != nil {
		t.Errorf("got %+v; want 202 and a ULID", got)
	}
	if len(b.got) != 2 || b.got[1].ID != got.ID || string(b.got[1].Data) != `{"n":1}` || b.got[1].To[0].String() != "user:alice" {
		t.Errorf("the bus got %+v", b.got)
	}
	if a.Stats().Accepted != 2 {
		t.Errorf("counted %+v; want 2 accepted", a.Stats())
	}
}

func TestIDsInTheAnswerAreEscapedAsEncodingJSONDoes(t *testing.T) {
	_, h := newAPI(t, new(bus), api.Config{})
	for body, want := range map[string]string{
		`{"to":"*","data":1,"id":"ä<\u2028>&"}`: `{"id":"ä\u003c\u2028\u003e\u0026"}` + "\n",
		`{"to":"*","data":1,"id":"<b>&"}`:       `{"id":"<b>&"}` + "\n",
		`[{"to":"*","data":1,"id":"ä<"}]`:       `{"ids":["ä\u003c"]}` + "\n",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(body))
		if w.Code != http.StatusAccepted || w.Body.String() != want {
			t.Errorf("%s: got %d %s, want %s", body, w.Code, w.Body, want)
		}
	}
}

func TestBatchIsPublishedInOrder(t *testing.T) {
	two := `{"to":"user:alice","data":1}`
	other := `{"to":"user:bob","data":2,"id":"x"}`
	for name, r := range map[string]*http.Request{
		"array":          request("  [" + two + "," + other + "," + two + "]"),
		"NDJSON":         request(two+"\n"+other+"\r\n\n"+two, "Content-Type", "application/x-ndjson"),
		"NDJSON, params": request(two+"\n"+other+"\n"+two+"\n", "Content-Type", "application/x-ndjson; charset=utf-8"),
		"chunked":        chunked("[" + two + "," + other + "," + two + "]"),
	} {
		t.Run(name, func(t *testing.T) {
			var b bus
			_, h := newAPI(t, &b, api.Config{})
			got := do(t, h, r)
			if got.Status != 202 || len(got.IDs) != 3 || got.IDs[1] != "x" || got.ID != "" {
				t.Fatalf("got %+v", got)
			}
			if got.IDs[0] >= got.IDs[2] {
				t.Errorf("ids %v do not sort as the batch does", got.IDs)
			}
			var published []string
			for _, m := range b.got {
				published = append(published, m.ID)
			}
			if diff := cmp.Diff(got.IDs, published); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The answer has the cursor that the bus has told, after the ids.
func TestTheAnswerHasTheCursor(t *testing.T) {
	at := domain.Cursor{Log: 7, Position: "p", ID: domain.HashID("x")}
	one, two := `{"to":"user:alice","id":"x","data":1}`, `[{"to":"user:alice","id":"a","data":1},{"to":"*","id":"x","data":1}]`
	for body, want := range map[string]struct {
		at   domain.Cursor
		body string
	}{
		one:       {at, `{"id":"x","cursor":"` + at.String() + `"}` + "\n"},
		two:       {at, `{"ids":["a","x"],"cursor":"` + at.String() + `"}` + "\n"},
		one + " ": {domain.Cursor{}, `{"id":"x"}` + "\n"},
	} {
		_, h := newAPI(t, &bus{at: want.at}, api.Config{})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(body))
		if w.Code != 202 || w.Body.String() != want.body || w.Header().Get("Content-Length") != fmt.Sprint(len(want.body)) {
			t.Errorf("%s: %d %v %s; want %s", body, w.Code, w.Header(), w.Body, want.body)
		}
	}
}

// Only white space as JSON defines it makes an empty line: other parsers refuse the rest.
func TestOnlyJSONWhiteSpaceMakesAnEmptyLine(t *testing.T) {
	for line, want := range map[string]int{
		"": 202, " \t\r": 202, "\u00a0": 400, "\v": 400, "\f": 400, "\u0085": 400, "\u2028": 400, "\ufeff": 400,
	} {
		var b bus
		_, h := newAPI(t, &b, api.Config{})
		r := request(good+"\n"+line+"\n"+good, "Content-Type", "application/x-ndjson")
		if got := do(t, h, r); got.Status != want || want != 202 && len(b.got) > 0 {
			t.Errorf("%q: %+v, and %d on the bus; want %d", line, got, len(b.got), want)
		}
	}
}

// chunked returns a request whose length is not announced.
func chunked(body string) *http.Request {
	r := request("")
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), -1
	return r
}

func TestBadRequestIsRefusedAndNothingIsPublished(t *testing.T) {
	long := `{"to":"user:alice","data":"` + strings.Repeat("x", 200) + `"}`
	at := func(system string, r *http.Request) *http.Request {
		r.URL.Path = "/v1/systems/" + system + "/messages"
		return r
	}
	get := request(good)
	get.Method = "GET"
	elsewhere := request(good)
	elsewhere.URL.Path = "/v1/messages"
	lines := []string{"Content-Type", "application/x-ndjson"}
	for name, tt := range map[string]struct {
		r      *http.Request
		status int
		at     string // the first fault's location
	}{
		"no key":                   {request(good, "Authorization", ""), 401, ""},
		"unknown key":              {request(good, "Authorization", "Bearer x"), 401, ""},
		"another scheme":           {request(good, "Authorization", "Basic shop"), 401, ""},
		"key without the scope":    {at("chat", request(good)), 403, ""},
		"system not served":        {at("other", request(good)), 404, ""},
		"no system":                {at("Orders!", request(good)), 422, "system"},
		"GET":                      {get, 405, ""},
		"no such path":             {elsewhere, 404, ""},
		"no content type":          {request(good, "Content-Type", ""), 415, ""},
		"text":                     {request(good, "Content-Type", "text/plain"), 415, ""},
		"form":                     {request(good, "Content-Type", "application/x-www-form-urlencoded"), 415, ""},
		"hostile content type":     {request(good, "Content-Type", "application/json; =\x00;;"), 415, ""},
		"compressed":               {request(good, "Content-Encoding", "gzip"), 415, ""},
		"empty":                    {request(""), 400, ""},
		"malformed":                {request(`{"to":`), 400, ""},
		"not UTF-8":                {request(`{"to":"user:alice","data":"` + "\xff" + `"}`), 400, ""},
		"malformed array":          {request("[" + good + ","), 400, ""},
		"malformed in an array":    {request("[" + good + ",}"), 400, ""},
		"malformed line":           {request(good+"\n{\n", lines...), 400, "[1]"},
		"two messages":             {request(good + good), 400, ""},
		"no target":                {request(`{"data":1}`), 422, "to"},
		"bad target":               {request(`{"to":"alice","data":1}`), 422, "to"},
		"bad target in a list":     {request(`{"to":["user:a","user:"],"data":1}`), 422, "to[1]"},
		"bad target in a batch":    {request("[" + good + "," + good + "," + good + `,{"to":["x"],"data":1}]`), 422, "[3].to[0]"},
		"bad target in a line":     {request(good+"\n\n"+`{"to":["x"]}`, lines...), 422, "[1].to[0]"},
		"bad ttl":                  {request(`{"to":"*","ttl":-1}`), 422, "ttl"},
		"unknown field":            {request(`{"to":"*","dtaa":1}`), 422, "dtaa"},
		"from":                     {request(`{"to":"*","from":"bob"}`), 422, "from"},
		"empty array":              {request("[]"), 422, ""},
		"no lines":                 {request("\n\n", lines...), 422, ""},
		"data too large":           {request(long), 413, "data"},
		"data too large in a list": {request("[" + good + "," + long + "]"), 413, "[1].data"},
		"body too large":           {request(`{"to":"user:alice","data":1` + strings.Repeat(" ", 2000) + `}`), 413, ""},
		"chunked, too large":       {chunked(strings.Repeat(" ", 2000)), 413, ""},
		"too many":                 {request("[" + strings.Repeat(good+",", 10) + good + "]"), 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var b bus
			a, h := newAPI(t, &b, api.Config{MessageBytes: 100, BodyBytes: 1000, Batch: 10})
			got := do(t, h, tt.r)
			if got.Status != tt.status {
				t.Fatalf("got %+v; want %d", got, tt.status)
			}
			location := ""
			if len(got.Errors) > 0 {
				location = got.Errors[0].Location
			}
			if location != tt.at {
				t.Errorf("the fault is at %q; want %q (%+v)", location, tt.at, got)
			}
			if len(b.got) > 0 {
				t.Errorf("%d messages were published", len(b.got))
			}
			if reason := reasonOf(name, tt.status); a.Stats().Refused[reason] != 1 {
				t.Errorf("counted %+v; want one %s", a.Stats(), reason)
			}
			if wantsKey := got.Header.Get("WWW-Authenticate") != ""; wantsKey != (tt.status == 401) {
				t.Errorf("WWW-Authenticate: %q", got.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

// reasonOf returns the reason for which a bad request is counted.
func reasonOf(name string, status int) string {
	if name == "no such path" {
		return "path"
	}
	return map[int]string{
		400: "malformed", 401: "unauthorized", 403: "scope", 404: "not_served", 405: "method",
		413: "too_large", 415: "media_type", 422: "invalid",
	}[status]
}

func TestEveryFaultOfABatchIsNamedUpToALimit(t *testing.T) {
	_, h := newAPI(t, &bus{}, api.Config{})
	got := do(t, h, request(`[{"to":"x"},`+good+`,{"to":"*","ttl":-1}]`))
	if len(got.Errors) != 2 || got.Errors[0].Location != "[0].to" || got.Errors[1].Location != "[2].ttl" {
		t.Errorf("got %+v", got.Errors)
	}
	got = do(t, h, request("["+strings.Repeat(`{"to":"x"},`, 100)+good+"]"))
	if len(got.Errors) == 0 || len(got.Errors) > 20 || !strings.Contains(got.Detail, "first") {
		t.Errorf("%d faults are named, detail %q", len(got.Errors), got.Detail)
	}
}

// untouchable is a body that must not be read.
type untouchable struct{ t *testing.T }

func (b untouchable) Read([]byte) (int, error) {
	b.t.Error("the body was read")
	return 0, io.EOF
}
func (untouchable) Close() error { return nil }

func TestClientsThatMayNotPublishAreRefusedBeforeTheBodyIsRead(t *testing.T) {
	_, h := newAPI(t, &bus{}, api.Config{BodyBytes: 100})
	for name, change := range map[string]func(*http.Request){
		"401": func(r *http.Request) { r.Header.Del("Authorization") },
		"403": func(r *http.Request) { r.URL.Path = "/v1/systems/chat/messages" },
		"404": func(r *http.Request) { r.URL.Path = "/v1/systems/other/messages" },
		"413": func(r *http.Request) { r.ContentLength = 101 },
		"415": func(r *http.Request) { r.Header.Del("Content-Type") },
	} {
		r := request(good)
		r.Body = untouchable{t}
		change(r)
		if got := do(t, h, r); fmt.Sprint(got.Status) != name {
			t.Errorf("got %d; want %s", got.Status, name)
		}
	}
}

func TestFailedPublishTellsHowFarItCameAndUnderWhichIDs(t *testing.T) {
	batch := "[" + good + "," + good + "," + good + "]"
	for name, tt := range map[string]struct {
		err      error
		body     string
		status   int
		accepted int
	}{
		"bus down, single":  {&domain.PublishError{Err: domain.ErrBusDown}, good, 503, -1},
		"bus down, batch":   {&domain.PublishError{Accepted: 2, Err: fmt.Errorf("redis: %w", domain.ErrBusDown)}, batch, 503, 2},
		"refused by bus":    {&domain.PublishError{Err: fmt.Errorf("%w: %w: redis: OOM", domain.ErrBusDown, domain.ErrBusRefused)}, good, 503, -1},
		"not allowed there": {&domain.PublishError{Err: domain.Refused(fmt.Errorf("nats: %w", domain.ErrForbidden))}, good, 503, -1},
		"no such thing":     {&domain.PublishError{Err: domain.Refused(fmt.Errorf("redis: %w", domain.ErrUnsupported))}, good, 503, -1},
		"full, batch":       {&domain.PublishError{Accepted: 2, Err: domain.Refused(fmt.Errorf("%w: redis: OOM", domain.ErrBusFull))}, batch, 503, 2},
		"congested":         {&domain.PublishError{Err: domain.ErrLimit}, batch, 503, 0},
		"closed":            {&domain.PublishError{Err: domain.ErrClosed}, good, 503, -1},
		"too large for bus": {&domain.PublishError{Accepted: 1, Err: domain.ErrTooLarge}, batch, 413, 1},
		"client gone":       {&domain.PublishError{Err: context.Canceled}, good, 503, -1},
		"unexpected":        {errors.New("boom"), batch, 500, 0},
		"absurd":            {&domain.PublishError{Accepted: 99, Err: domain.ErrBusDown}, batch, 503, 3},
	} {
		t.Run(name, func(t *testing.T) {
			a, h := newAPI(t, &bus{err: tt.err}, api.Config{})
			got := do(t, h, request(tt.body))
			if got.Status != tt.status {
				t.Fatalf("got %+v; want %d", got, tt.status)
			}
			if tt.accepted < 0 {
				if len(got.ID) != 26 || got.Accepted != nil {
					t.Errorf("got %+v; want the id", got)
				}
			} else if got.Accepted == nil || *got.Accepted != tt.accepted || len(got.IDs) != 3 || slices.Contains(got.IDs, "") {
				t.Errorf("got %+v; want %d accepted and three ids", got, tt.accepted)
			}
			if (got.Header.Get("Retry-After") != "") != (tt.status == 503) {
				t.Errorf("Retry-After: %q", got.Header.Get("Retry-After"))
			}
			if refused := errors.Is(tt.err, domain.ErrBusRefused); strings.Contains(got.Detail, "refuses") != refused {
				t.Errorf("the answer says %s", got.Detail)
			}
			if full := errors.Is(tt.err, domain.ErrBusFull); strings.Contains(got.Detail, "is full") != full {
				t.Errorf("the answer says %s", got.Detail)
			}
			if strings.Contains(got.Detail, "redis") || strings.Contains(got.Detail, "nats") || strings.Contains(got.Detail, "boom") {
				t.Errorf("the answer shows the inside: %s", got.Detail)
			}
			reason := map[string]string{
				"refused by bus": "bus_refused", "not allowed there": "bus_refused",
				"no such thing": "bus_refused", "full, batch": "bus_full", "congested": "busy",
				"closed": "closing", "too large for bus": "too_large", "unexpected": "failed",
			}[name]
			if reason == "" {
				reason = "bus_unknown"
			}
			if a.Stats().Refused[reason] != 1 {
				t.Errorf("counted %v; want one %s", a.Stats().Refused, reason)
			}
			if want := uint64(max(tt.accepted, 0)); a.Stats().Accepted != want {
				t.Errorf("counted %d accepted; want %d", a.Stats().Accepted, want)
			}
		})
	}
}

func TestSystemThatGoesAwayMeanwhileIs404(t *testing.T) {
	_, h := newAPI(t, &bus{err: fmt.Errorf("publish: %w", domain.ErrNotServed)}, api.Config{})
	if got := do(t, h, request(good)); got.Status != 404 {
		t.Errorf("got %+v; want 404", got)
	}
}

func TestIDsOfConcurrentRequestsAreUnique(t *testing.T) {
	var b bus
	_, h := newAPI(t, &b, api.Config{})
	body := "[" + strings.Repeat(good+",", 99) + good + "]"
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				h.ServeHTTP(httptest.NewRecorder(), request(body))
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, m := range b.got {
		seen[m.ID] = true
	}
	if len(seen) != 8000 {
		t.Errorf("%d ids for 8000 messages", len(seen))
	}
}

func FuzzPublish(f *testing.F) {
	for _, body := range []string{good, "[" + good + "]", good + "\n" + good, `[{"to":["x"]}]`, "[1]", `[[]]`, "{", "\xff", "null", "[null]"} {
		f.Add([]byte(body), false)
		f.Add([]byte(body), true)
	}
	var b bus
	_, h := newAPI(f, &b, api.Config{Batch: 20})
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		r := request("")
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if lines {
			r.Header.Set("Content-Type", "application/x-ndjson")
		}
		b.got = nil
		got := do(t, h, r)
		switch got.Status {
		case 202:
			if len(b.got) != len(got.IDs) && got.ID == "" || len(b.got) == 0 {
				t.Fatalf("%d published, answered %+v", len(b.got), got)
			}
		case 400, 413, 422:
			if len(b.got) > 0 {
				t.Fatalf("%d published, answered %+v", len(b.got), got)
			}
		default:
			t.Fatalf("answered %+v", got)
		}
	})
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

type sink struct{}

func (sink) Publish(context.Context, domain.System, ...*domain.Message) (domain.Cursor, error) {
	return domain.Cursor{}, nil
}

func BenchmarkPublish(b *testing.B) {
	one := `{"to":"user:alice","type":"order.paid","data":{"n":1,"text":"` + strings.Repeat("x", 100) + `"}}`
	for _, tt := range []struct {
		name, body string
		n          int
	}{{"single", one, 1}, {"batch of 50", "[" + strings.Repeat(one+",", 49) + one + "]", 50}} {
		b.Run(tt.name, func(b *testing.B) {
			_, h := newAPI(b, sink{}, api.Config{})
			r := request("")
			reader := strings.NewReader("")
			r.Body, r.ContentLength = io.NopCloser(reader), int64(len(tt.body))
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(tt.body)
				h.ServeHTTP(w, r)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tt.n), "ns/message")
		})
	}
}

// Where it is certain that nothing was sent, the answer says so.
func TestAnswerSaysWhatWasCertainlyNotSent(t *testing.T) {
	batch := "[" + good + "," + good + "]"
	for name, tt := range map[string]struct {
		err  domain.PublishError
		body string
		want string
	}{
		"single":     {domain.PublishError{Refused: true, Err: domain.ErrBusDown}, good, "it was not sent"},
		"batch":      {domain.PublishError{Refused: true, Err: domain.ErrBusDown}, batch, "it was not sent"},
		"half of it": {domain.PublishError{Refused: true, Accepted: 1, Err: domain.ErrBusDown}, batch, "none was sent"},
		"unknown":    {domain.PublishError{Err: domain.ErrBusDown}, good, "is unknown"},
		"cancelled":  {domain.PublishError{Refused: true, Err: context.Canceled}, good, "it was not sent"},
	} {
		t.Run(name, func(t *testing.T) {
			_, h := newAPI(t, &bus{err: &tt.err}, api.Config{})
			got := do(t, h, request(tt.body))
			if got.Status != 503 || !strings.Contains(got.Detail, tt.want) {
				t.Errorf("got %+v; want %s", got, tt.want)
			}
		})
	}
}

// Over net/http an answer without a length is sent in chunks when it is long.
func TestAnAnswerHasItsLength(t *testing.T) {
	_, h := newAPI(t, &bus{}, api.Config{})
	s := httptest.NewServer(h)
	defer s.Close()
	for _, n := range []int{1, 1000} {
		body := strings.Repeat(`{"to":"*"}`+"\n", n)
		r, err := http.NewRequest("POST", s.URL+"/v1/systems/orders/messages", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer shop")
		r.Header.Set("Content-Type", "application/x-ndjson")
		got, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil || got.StatusCode != 202 || got.ContentLength != int64(len(text)) {
			t.Errorf("%d messages: %d, %v, length %d of %d bytes", n, got.StatusCode, err, got.ContentLength, len(text))
		}
	}
}
