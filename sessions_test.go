package fanfare_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
)

// sessionsOf asks a node for alice's sessions, and returns on which nodes they are.
func sessionsOf(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url + "/v1/users/alice/sessions")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got struct {
		Sessions []struct {
			Node, Port string
			Systems    []struct{ System, State string }
		}
		Complete bool
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", answer.Status, err)
	}
	var text strings.Builder
	for _, s := range got.Sessions {
		fmt.Fprintf(&text, "%s %s %s; ", s.Node, s.Port, s.Systems)
	}
	fmt.Fprint(&text, "complete: ", got.Complete)
	return text.String()
}

func TestANodeKnowsTheSessionsOfAUserOnAllNodes(t *testing.T) {
	bus := memory.New(memory.Config{})
	defer bus.Close()
	var urls []string
	for _, name := range []string{"n1", "n2", "apart"} {
		cfg := fanfare.Config{Node: name, Dev: true, Systems: []string{"orders"}, Drain: 1}
		cfg.Control.Heartbeat, cfg.Control.DeadAfter = 300*time.Millisecond, time.Minute
		cfg.Control.Disabled = name == "apart"
		server := httptest.NewServer(startNode(t, cfg, fanfare.WithDriver(bus.Driver())).g)
		defer server.Close()
		urls = append(urls, server.URL)
		c, _, err := websocket.DefaultDialer.Dial(
			strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=orders&user=alice",
			http.Header{"Sec-WebSocket-Protocol": {"fanfare.v1.json"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, _, err := c.ReadMessage(); err != nil { // hello
			t.Fatal(err)
		}
	}
	both := "n1 ws [{orders live}]; n2 ws [{orders live}]; complete: true"
	for i, want := range []string{both, both, "apart ws [{orders live}]; complete: false"} {
		got := sessionsOf(t, urls[i])
		for began := time.Now(); got != want && time.Since(began) < time.Minute; got = sessionsOf(t, urls[i]) {
			<-time.After(50 * time.Millisecond)
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
