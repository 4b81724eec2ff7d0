package receipts_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/cluster"
)

// BenchmarkControlTopic has a thousand sessions on three nodes acknowledge a thousand messages
// a second, and reports how many messages a second the nodes say on the control topic, with
// receipts and without. Run it with -benchtime=10s or so: that is how long it lasts.
func BenchmarkControlTopic(b *testing.B) {
	for _, wanted := range []bool{false, true} {
		b.Run(fmt.Sprint("receipts ", wanted), func(b *testing.B) {
			const sessions = 1000
			c := cluster.Start(b, 3, cluster.Configure(func(cfg *fanfare.Config) {
				cfg.Systems, cfg.Control = []string{"orders"}, fanfare.DefaultConfig().Control
			}))
			for i := range sessions {
				acknowledge(b, c, c.Node(i%3), fmt.Sprint("user", i))
			}
			before, start := said(b, c), time.Now()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			messages := 0
			b.ResetTimer()
			for b.Loop() { // each round is ten messages in ten milliseconds
				<-tick.C
				var batch []map[string]any
				for range 10 {
					to := fmt.Sprint("user:user", messages%sessions)
					batch = append(batch, map[string]any{"to": to, "data": 1, "receipt": wanted})
					messages++
				}
				body, err := json.Marshal(batch)
				if err != nil {
					b.Fatal(err)
				}
				request(b, c, "POST", c.Node(0).URL()+"/v1/systems/orders/messages", string(body))
			}
			passed := time.Since(start).Seconds()
			b.ReportMetric(float64(said(b, c)-before)/passed, "control/s")
			b.ReportMetric(float64(messages)/passed, "messages/s")
			b.ReportMetric(float64(number(b, c, c.Node(1), "fanfare_control_marks")), "marks")
		})
	}
}

// acknowledge connects a user who acknowledges each message that wants it.
func acknowledge(b *testing.B, c *cluster.Cluster, n *cluster.Node, user string) {
	dialer := websocket.Dialer{NetDialContext: c.Dial, Subprotocols: []string{"fanfare.v1.json"}}
	conn, _, err := dialer.Dial("ws"+n.URL()[len("http"):]+"/ws?systems=orders&user="+user, nil)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	b.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		cursor := regexp.MustCompile(`"cursor":"([^"]+)".*"receipt":true`)
		for {
			_, text, err := conn.ReadMessage()
			if err != nil {
				return
			}
			for _, m := range cursor.FindAllSubmatch(text, -1) {
				op := fmt.Sprintf(`{"op":"ack","system":"orders","cursor":%q}`, m[1])
				if conn.WriteMessage(websocket.TextMessage, []byte(op)) != nil {
					return
				}
			}
		}
	}()
}

// said returns how many messages all nodes have said on the control topic.
func said(b *testing.B, c *cluster.Cluster) (all int) {
	for _, n := range c.Nodes() {
		all += number(b, c, n, "fanfare_control_sent_total")
	}
	return all
}

// number returns a metric of a node.
func number(b testing.TB, c *cluster.Cluster, of *cluster.Node, name string) int {
	m := regexp.MustCompile(`(?m)^` + name + ` (\d+)$`).FindStringSubmatch(request(b, c, "GET", of.URL()+"/metrics", ""))
	if m == nil {
		b.Fatalf("no %s", name)
	}
	k, err := strconv.Atoi(m[1])
	if err != nil {
		b.Fatal(err)
	}
	return k
}

func request(b testing.TB, c *cluster.Cluster, method, at, body string) string {
	r, err := http.NewRequest(method, at, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.HTTP().Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		b.Fatalf("%s: %d %s %v", at, res.StatusCode, text, err)
	}
	return string(text)
}
