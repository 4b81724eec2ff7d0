package fanfare_test

import (
	"bufio"
	"context"
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

// watchNodes reads /v1/live until an event says of the nodes what is wanted.
func watchNodes(t *testing.T, url, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got := ""
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if got = nodesOf(t, data); got == want {
			return
		}
	}
	t.Errorf("got %q, want %q", got, want)
}

// nodesOf says in a line what an event of /v1/live says of the nodes.
func nodesOf(t *testing.T, data string) string {
	t.Helper()
	var e struct {
		Alone  bool
		Silent []string
		Nodes  []struct {
			Name     string
			Sessions int
			Counts   *struct {
				BusUp   bool `json:"bus_up"`
				Systems []struct {
					System                        string
					Sessions, Messages, Delivered int
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	var text strings.Builder
	for _, n := range e.Nodes {
		fmt.Fprintf(&text, "%s %d", n.Name, n.Sessions)
		if n.Counts != nil {
			fmt.Fprintf(&text, " %v %v", n.Counts.BusUp, n.Counts.Systems)
		}
		text.WriteString("; ")
	}
	fmt.Fprintf(&text, "silent %v, alone %v", e.Silent, e.Alone)
	return text.String()
}

func TestAnOperatorSeesWhatAllNodesCount(t *testing.T) {
	bus := memory.New(memory.Config{})
	defer bus.Close()
	urls := map[string]string{}
	for _, name := range []string{"n1", "n2", "apart"} {
		cfg := fanfare.Config{Node: name, Dev: true, Systems: []string{"orders"}, Drain: 1}
		cfg.Control.Heartbeat, cfg.Control.DeadAfter = 300*time.Millisecond, time.Minute
		cfg.Control.Disabled = name == "apart"
		node := startNode(t, cfg, fanfare.WithDriver(bus.Driver())).g
		server := httptest.NewServer(node)
		defer server.Close()
		urls[name] = server.URL
		if name == "n1" { // the same routes are where the console is
			admin := httptest.NewServer(node.AdminHandler())
			defer admin.Close()
			urls["admin"] = admin.URL
		}
		c, _, err := websocket.DefaultDialer.Dial(
			strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=orders&user="+name,
			http.Header{"Sec-WebSocket-Protocol": {"fanfare.v1.json"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, _, err := c.ReadMessage(); err != nil { // hello
			t.Fatal(err)
		}
	}
	body := strings.NewReader(`[{"to":"*","data":1},{"to":"user:n2","data":2}]`)
	answer, err := http.Post(urls["n1"]+"/v1/systems/orders/messages", "application/json", body)
	if err != nil || answer.StatusCode != http.StatusAccepted {
		t.Fatal(answer, err)
	}
	answer.Body.Close()

	both := "n1 1 true [{orders 1 2 1}]; n2 1 true [{orders 1 2 2}]; silent [], alone false"
	watchNodes(t, urls["n1"], both)
	watchNodes(t, urls["n2"], both)
	watchNodes(t, urls["admin"], both)
	watchNodes(t, urls["apart"], "apart 1 true [{orders 1 2 1}]; silent [], alone true")
}
