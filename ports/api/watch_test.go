package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/api"
)

// A viewed is a Viewer on which the test shows entries.
type viewed struct {
	mu    sync.Mutex
	shows []func(*stream.Seen)
	ended int
	err   error
}

func (v *viewed) View(_ context.Context, _ domain.System, show func(*stream.Seen)) (func(), error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return nil, v.err
	}
	v.shows = append(v.shows, show)
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.ended++
	}, nil
}

// message shows a message to all who watch.
func (v *viewed) message(id string, to ...string) {
	m := &domain.Message{ID: id, Data: []byte(`{"n":1}`), ContentType: domain.JSON, Type: "paid", TTL: time.Minute, From: "bob"}
	for _, text := range to {
		t, err := domain.ParseTarget(text)
		if err != nil {
			panic(err)
		}
		m.To = append(m.To, t)
	}
	v.show(&stream.Seen{What: stream.Taken, At: at, Message: m, Time: at.Time})
}

func (v *viewed) show(e *stream.Seen) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, show := range v.shows {
		show(e)
	}
}

var at = domain.Cursor{Log: 7, Position: "p", Time: time.UnixMilli(1764509100000).UTC()}

// A screen is a client that keeps what it is sent.
type screen struct {
	mu     sync.Mutex
	header http.Header
	text   strings.Builder
	status int
	stuck  chan struct{} // while it is not nil and open, the client does not read
	ended  chan struct{} // closed when the answer has ended
	leave  func()        // ends the request
}

func (s *screen) Header() http.Header              { return s.header }
func (s *screen) WriteHeader(status int)           { s.status = status }
func (s *screen) Flush()                           {}
func (s *screen) SetWriteDeadline(time.Time) error { return nil }
func (s *screen) Write(b []byte) (int, error) {
	if s.stuck != nil {
		<-s.stuck
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// took returns what has come since the last call, when all that can happen has happened.
func (s *screen) took() string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.ReplaceAll(strings.TrimSpace(s.text.String()), "\n\n", "\n")
	s.text.Reset()
	return text
}

// A drainable is a node that drains when the test says so.
type drainable struct {
	node
	drains atomic.Bool
}

func (d *drainable) Health() api.Health {
	if d.drains.Load() {
		return api.Health{Phase: api.Draining}
	}
	return api.Health{Phase: api.Ready}
}

// A stage is an API whose node can be watched.
type stage struct {
	handler http.Handler
	node    *drainable
	viewed  *viewed
	asked   *asked
}

func watchable(t *testing.T) *stage {
	t.Helper()
	s := &stage{node: &drainable{}, viewed: &viewed{}, asked: &asked{}}
	a, err := api.New(&bus{}, scoped{}, s.node, api.Config{Viewer: s.viewed, Asker: s.asked})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Controlling(mux)
	s.handler = mux
	return s
}

// watch begins to watch. The stuck client does not read yet.
func (s *stage) watch(query string, stuck chan struct{}) *screen {
	ctx, cancel := context.WithCancel(context.Background())
	c := &screen{header: http.Header{}, stuck: stuck, ended: make(chan struct{}), leave: cancel}
	r := httptest.NewRequestWithContext(ctx, "GET", "/v1/systems/chat/watch"+query, nil)
	r.Header.Set("Authorization", "Bearer admin")
	go func() {
		defer close(c.ended)
		s.handler.ServeHTTP(c, r)
	}()
	synctest.Wait()
	return c
}

func watched(t *testing.T, test func(t *testing.T, s *stage)) {
	synctest.Test(t, func(t *testing.T) { test(t, watchable(t)) })
}

const head = `data: {"op":"watching","node":"","system":"chat"}`

func event(id, to string) string {
	return fmt.Sprintf(`data: {"op":"message","what":"taken","id":"%s","to":[%s],"from":"bob","type":"paid","ttl":60,"bytes":7,`+
		`"cursor":"%s","logged":"2025-11-30T13:25:00.000Z"}`, id, to, at)
}

func TestASystemIsWatched(t *testing.T) {
	watched(t, func(t *testing.T, s *stage) {
		all, some := s.watch("", nil), s.watch("?to=user:bob&to=room:a,b&data=true&_=1", nil)
		if got := all.header.Get("Content-Type"); got != "text/event-stream" {
			t.Error(got)
		}
		s.viewed.message("m1", "user:alice")
		s.viewed.message("m2", "room:a,b", "user:alice")
		s.viewed.show(&stream.Seen{What: stream.Interrupted, At: at, Reason: domain.Trimmed})
		s.viewed.show(&stream.Seen{What: stream.Undecodable, At: at})
		gap, poison := `data: {"op":"gap","reason":"trimmed","cursor":"`+at.String()+`"}`,
			`data: {"op":"message","what":"poison","cursor":"`+at.String()+`"}`
		want := strings.Join([]string{head, event("m1", `"user:alice"`), event("m2", `"room:a,b","user:alice"`), gap, poison}, "\n")
		if got := all.took(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		want = strings.Join([]string{head, strings.TrimSuffix(event("m2", `"room:a,b","user:alice"`), "}") + `,"data":{"n":1}}`, gap}, "\n")
		if got := some.took(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		time.Sleep(16 * time.Second)
		if got := all.took(); got != ": alive" {
			t.Error(got)
		}
		all.leave()
		some.leave()
		<-all.ended
		<-some.ended
		if s.viewed.ended != 2 || s.asked.got != "" {
			t.Errorf("%d ended, asked %q", s.viewed.ended, s.asked.got)
		}
	})
}

// What a slow client has no room for is left out, and it is told of how much.
func TestASlowWatcherIsToldWhatItMissed(t *testing.T) {
	watched(t, func(t *testing.T, s *stage) {
		reads := make(chan struct{})
		c := s.watch("", reads) // its goroutine is at the first event
		for i := range 1500 {
			s.viewed.message(fmt.Sprint(i), "user:alice")
		}
		close(reads)
		got := c.took()
		if n := strings.Count(got, `"op":"message"`); n != 1000 || !strings.HasSuffix(got, `data: {"op":"skipped","n":500}`) {
			t.Errorf("%d messages: %s", n, got[max(0, len(got)-300):])
		}
		s.viewed.message("next", "user:alice")
		if got := c.took(); got != event("next", `"user:alice"`) {
			t.Error(got)
		}
		c.leave()
		<-c.ended
	})
}

// A user is watched with the rooms of the sessions, and these come and go.
func TestAUserIsWatched(t *testing.T) {
	watched(t, func(t *testing.T, s *stage) {
		session := `{"id":"S","port":"ws","connected":"2026-11-30T10:00:02Z","systems":[{"system":"chat","state":"live","rooms":["lobby"],` +
			`"assigned":["vip"]},{"system":"orders","state":"live","rooms":["other"]}]}`
		s.asked.set("sessions", control.Answers{Complete: true, From: []control.Answer{{Node: "n1", Body: []byte(`{"sessions":[` + session + `]}`)}}})
		s.asked.set("trace", control.Answers{Complete: true, From: []control.Answer{
			{Node: "n1", Body: []byte(`{"reads":true,"places":[{"state":"read","sessions":1,"of":[{"session":"S","fate":"written"}]}]}`)},
			{Node: "n2", Err: "unknown"},
		}})
		c := s.watch("?to=user:alice", nil)
		first := c.took()
		if !strings.HasPrefix(first, head+"\n"+`data: {"op":"sessions","user":"alice","sessions":[{"id":"S","node":"n1",`) ||
			!strings.HasSuffix(first, `,"complete":true}`) {
			t.Error(first)
		}
		for i, to := range []string{"user:alice", "*", "room:lobby", "room:vip", "session:S", "room:other", "user:bob"} {
			s.viewed.message(fmt.Sprint("m", i), to)
		}
		if got := c.took(); strings.Count(got, "\n") != 4 || strings.Contains(got, "other") || strings.Contains(got, "bob\"]") {
			t.Error(got)
		}
		time.Sleep(1900 * time.Millisecond)
		fate := `data: {"op":"fate","id":"m0","cursor":"` + at.String() + `","sessions":[{"node":"n1","session":"S","fate":"written"}],` +
			`"complete":false,"failed":[{"node":"n2","error":"unknown"}]}`
		if got := c.took(); !strings.Contains(got, fate) || strings.Count(got, `"op":"fate"`) != 5 {
			t.Error(got)
		}
		time.Sleep(10 * time.Second)
		if got := c.took(); got != "" {
			t.Errorf("nothing has changed: %s", got)
		}
		s.asked.set("sessions", control.Answers{Silent: []string{"n2"}})
		time.Sleep(2 * time.Second)
		if got := c.took(); got != `data: {"op":"sessions","user":"alice","sessions":[],"complete":false,"silent":["n2"]}` {
			t.Error(got)
		}
		for i := range 100 {
			s.viewed.message(fmt.Sprint("m", i), "user:alice")
		}
		s.viewed.message("m", "room:lobby") // she is in no room any more
		time.Sleep(5 * time.Second)
		if got := c.took(); strings.Count(got, `"op":"message"`) != 100 || strings.Count(got, `"op":"fate"`) != 20 ||
			!strings.Contains(got, `data: {"op":"fates_left_out","n":80}`) {
			t.Error(got)
		}
		c.leave()
		<-c.ended
	})
}

func TestAWatchEnds(t *testing.T) {
	watched(t, func(t *testing.T, s *stage) {
		c := s.watch("", nil)
		c.took()
		s.node.drains.Store(true)
		time.Sleep(2 * time.Second)
		if got := c.took(); got != `data: {"op":"goaway"}` {
			t.Error(got)
		}
		<-c.ended
		for status, err := range map[int]error{404: domain.ErrNotServed, 503: errors.New("no bus")} {
			s.viewed.err = err
			c := s.watch("", nil)
			if <-c.ended; c.status != status {
				t.Errorf("%v: %d", err, c.status)
			}
		}
	})
}

func TestWatchesAreBounded(t *testing.T) {
	watched(t, func(t *testing.T, s *stage) {
		var all []*screen
		for range 32 {
			all = append(all, s.watch("", nil))
		}
		c := s.watch("", nil)
		if <-c.ended; c.status != http.StatusTooManyRequests {
			t.Errorf("%d", c.status)
		}
		for _, c := range all {
			c.leave()
			<-c.ended
		}
		c = s.watch("", nil)
		if got := c.took(); got != head {
			t.Error(got)
		}
		c.leave()
		<-c.ended
	})
}

func TestWhatCannotBeWatched(t *testing.T) {
	s := watchable(t)
	for query, want := range map[string]string{
		"?to=alice": "to", "?data=yes": "data", "?x=1": "x", "?to=" + strings.Repeat("user:a&to=", 20) + "*": "to", "?%zz": "query",
	} {
		if p := explained(t, ask(s.handler, "GET", "/v1/systems/chat/watch"+query, "")); p.Status != 422 || p.Errors[0].Location != want {
			t.Errorf("%s: %+v", query, p)
		}
	}
	if p := explained(t, ask(s.handler, "GET", "/v1/systems/chat/watch", "", "Authorization", "Bearer presence/chat")); p.Status != 403 {
		t.Errorf("%+v", p)
	}
	if p := explained(t, ask(s.handler, "POST", "/v1/systems/chat/watch", "")); p.Status != 405 {
		t.Errorf("%+v", p)
	}
	_, h := controlled(t, nil, api.Config{})
	if p := explained(t, ask(h, "GET", "/v1/systems/chat/watch", "")); p.Status != 501 {
		t.Errorf("%+v", p)
	}
}
