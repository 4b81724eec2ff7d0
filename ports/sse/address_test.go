package sse_test

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

// Replacements of EventSource that cannot set headers put the id into the URL.
func TestLastEventIDComesInTheHeaderOrTheAddress(t *testing.T) {
	n := serve(t, config{})
	s := n.hello("alice", "systems=orders")
	begin := s.id
	var ids []string
	for _, data := range []string{"1", "2", "3"} {
		n.deliver("user:alice", "orders", data)
		s.wantsData(data)
		ids = append(ids, s.id)
	}
	s.close()
	param := func(id string) string { return "&lastEventId=" + url.QueryEscape(id) }
	for _, test := range []struct {
		name, query, header, first string
	}{
		{"the parameter alone", param(ids[0]), "", "2"},
		{"the header before the parameter", param(ids[0]), ids[1], "3"},
		{"the parameter before resume", param(ids[1]) + "&resume=" + begin, "", "3"},
		{"resume behind an empty parameter", param("") + "&resume=" + ids[0], "", "2"},
	} {
		header := http.Header{}
		if test.header != "" {
			header.Set("Last-Event-ID", test.header)
		}
		s := n.open("alice", "systems=orders"+test.query, header)
		s.wants(`{"op":"hello"`)
		var m struct{ Data json.RawMessage }
		if event := s.wants(`{"op":"message"`); json.Unmarshal([]byte(event), &m) != nil || string(m.Data) != test.first {
			t.Errorf("%s: the first message is %s, want %s", test.name, event, test.first)
		}
		s.close()
	}
	if s := n.try("alice", "systems=orders"+param(ids[0]+"!4010"), nil); s.resp.StatusCode != http.StatusNoContent {
		t.Errorf("a client that was told not to come back got %d", s.resp.StatusCode)
	}
	for _, query := range []string{param("x"), param("chat:x"), param(ids[0]) + param(ids[1]), "&pad=yes", "&cursors=true", "&lastEventID=" + ids[0], "&last=1"} {
		if s := n.try("alice", "systems=orders"+query, nil); s.resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %s", query, s.resp.Status)
		}
	}
}

func TestEveryRoomCanBeNamedInTheAddress(t *testing.T) {
	n := serve(t, config{registry: session.Config{SessionsPerUser: 1000, FailureRate: session.Rate{Messages: 1e6}}})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	alphabet := []rune(`az,,/:%+&#=?;\" '*!~` + "ü語🎺\u00a0\u2028")
	names := []string{",", "a,b", "a,chat/b", strings.Repeat(",", domain.MaxName), "\u202e", "%2C"}
	for range 50 {
		var b strings.Builder
		for b.Len() < 1+rng.IntN(60) {
			b.WriteRune(alphabet[rng.IntN(len(alphabet))])
		}
		names = append(names, b.String())
	}
	for _, name := range names {
		s := n.open("alice/everywhere", "systems=chat&"+url.Values{"room": {"chat/" + name}}.Encode(), nil)
		s.wants(`{"op":"hello"`)
		n.deliver("room:"+name, "chat", `1`)
		s.wantsData(`1`)
		s.close()
	}
}

// An EventSource never comes back after an answer that is not an event stream.
func TestEventSourcesAreToldWhenToComeBack(t *testing.T) {
	events := http.Header{"Accept": {"text/event-stream"}}
	draining := serve(t, config{})
	draining.stop()
	<-draining.stopped
	full := serve(t, config{registry: session.Config{Sessions: 1}})
	full.hello("alice", "systems=orders")
	locked := serve(t, config{registry: session.Config{FailureRate: session.Rate{Messages: 0.1}}})
	locked.try("alice/bad", "systems=orders", nil)
	for _, test := range []struct {
		name   string
		node   *node
		token  string
		status int
		retry  int // at least
	}{{"draining", draining, "bob", 503, 1000}, {"full", full, "bob", 503, 5000}, {"locked out", locked, "bob/bad", 429, 1000}} {
		if s := test.node.try(test.token, "systems=orders", nil); s.resp.StatusCode != test.status || s.resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: others are answered %s", test.name, s.resp.Status)
		}
		s := test.node.open(test.token, "systems=orders", events)
		event := s.wants(`{"op":"goaway","retry_ms":`)
		s.wantsEnd()
		var notice struct {
			Retry  int `json:"retry_ms"`
			Status int
			Reason string
		}
		if err := json.Unmarshal([]byte(event), &notice); err != nil || notice.Status != test.status || notice.Reason == "" {
			t.Errorf("%s: told %s %v", test.name, event, err)
		}
		if s.retry < test.retry || s.retry != notice.Retry || s.ids != 0 || s.resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%s: retry %d, %d ids, %v", test.name, s.retry, s.ids, s.resp.Header)
		}
		if got := test.node.registry.Stats().Rejected[test.status]; got != 2 || test.node.server.Stats().SentAway != 1 {
			t.Errorf("%s: %d rejections counted, %+v", test.name, got, test.node.server.Stats())
		}
	}
	wrong := full.try("bob", "systems=orders&x=1", events)
	if body, _ := io.ReadAll(wrong.resp.Body); wrong.resp.StatusCode != 422 {
		t.Errorf("what will never be granted: %s %s", wrong.resp.Status, body)
	}
}

// A check answers what a connection would be answered, and opens none.
func TestCheckSaysWhyThereWouldBeNoSession(t *testing.T) {
	n := serve(t, config{registry: session.Config{Sessions: 1, SessionsPerUser: 1}})
	for query, want := range map[string]int{
		"systems=orders&check=1": 204, "systems=x&check=1": 404, "systems=chat&rooms=orders/x&check=1": 422, "systems=chat&check=2": 422,
		"systems=chat&room=shop/x&check=1": 422,
	} {
		if s := n.try("alice", query, http.Header{"Accept": {"text/event-stream"}}); s.resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", query, s.resp.Status, want)
		}
	}
	if s := n.registry.Stats(); s.Opened != 0 || s.Sessions != 0 {
		t.Errorf("a check opened a session: %+v", s)
	}
	n.hello("alice", "systems=orders")
	if s := n.try("alice", "systems=orders&check=1", nil); s.resp.StatusCode != 503 || s.resp.Header.Get("Retry-After") == "" {
		t.Errorf("a full node: %s", s.resp.Status)
	}
}
