package receipts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/test/cluster"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// A device is a WebSocket client that acknowledges what it is told to.
type device struct {
	t       *testing.T
	conn    *websocket.Conn
	session string
	ops     chan map[string]any // what came; closed when the connection has ended
	cursor  string              // of the last message
}

// open connects a user to a node. The query may name rooms and the like.
func open(t *testing.T, c *cluster.Cluster, n *cluster.Node, user, query string) *device {
	t.Helper()
	at := strings.Replace(n.URL(), "http://", "ws://", 1) + "/ws?systems=orders&user=" + url.QueryEscape(user) + query
	d := &device{t: t}
	dialer := websocket.Dialer{NetDialContext: c.Dial, Subprotocols: []string{"fanfare.v1.json"}}
	conn, _, err := dialer.Dial(at, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.conn, d.ops = conn, make(chan map[string]any, 1000)
	read := make(chan struct{})
	go func() { // a connection of a cluster takes nothing that is not read
		defer close(read)
		d.read()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-read
	})
	d.session, _ = d.next("hello")["session"].(string)
	return d
}

// read reads until the connection has ended.
func (d *device) read() {
	defer close(d.ops)
	for {
		_, text, err := d.conn.ReadMessage()
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			op := map[string]any{}
			if err := json.Unmarshal([]byte(line), &op); err != nil {
				d.t.Errorf("%v: %s", err, line)
				return
			}
			d.ops <- op
		}
	}
}

// next returns the next op of a name.
func (d *device) next(name string) map[string]any {
	d.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case op, ok := <-d.ops:
			if !ok {
				d.t.Fatalf("the connection has ended: no %s came", name)
			}
			if op["op"] == name {
				return op
			}
		case <-late.C:
			d.t.Fatalf("no %s came", name)
		}
	}
}

// message reads the next message, which has to want a receipt.
func (d *device) message() {
	d.t.Helper()
	op := d.next("message")
	d.cursor, _ = op["cursor"].(string)
	if op["receipt"] != true || d.cursor == "" {
		d.t.Errorf("a message that wants a receipt came as %v", op)
	}
}

func (d *device) ack(cursor string) {
	d.t.Helper()
	op := fmt.Sprintf(`{"op":"ack","system":"orders","cursor":%q}`, cursor)
	if err := d.conn.WriteMessage(websocket.TextMessage, []byte(op)); err != nil {
		d.t.Fatal(err)
	}
}

// kill cuts the connection off, as when the client's process is killed.
func (d *device) kill() { _ = d.conn.NetConn().Close() }

// publish publishes a message for targets, and waits for what the query says.
func publish(t *testing.T, c *cluster.Cluster, n *cluster.Node, query string, to ...string) (int, control.ReceiptReport) {
	t.Helper()
	body, _ := json.Marshal(map[string]any{"to": to, "data": 1, "receipt": true})
	return ask(t, c, "POST", n.URL()+"/v1/systems/orders/messages"+query, string(body))
}

// receipts asks a node what became of a message.
func receipts(t *testing.T, c *cluster.Cluster, n *cluster.Node, id, query string) control.ReceiptReport {
	t.Helper()
	status, r := ask(t, c, "GET", n.URL()+"/v1/systems/orders/messages/"+id+"/receipts"+query, "")
	if status != http.StatusOK {
		t.Fatalf("%s answers %d", n.Name(), status)
	}
	return r
}

func ask(t *testing.T, c *cluster.Cluster, method, at, body string) (status int, r control.ReceiptReport) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.HTTP().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode < 300 {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatalf("%s %s: %v: %s", method, at, err, text)
	}
	if res.StatusCode >= 300 {
		t.Logf("%s %s: %s", method, at, text)
	}
	return res.StatusCode, r
}

// until asks a node again until the answer is good.
func until(t *testing.T, c *cluster.Cluster, n *cluster.Node, id string, good func(control.ReceiptReport) bool) control.ReceiptReport {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		r := receipts(t, c, n, id, "")
		if good(r) {
			return r
		}
		if time.Now().After(end) {
			t.Fatalf("%s says %+v", n.Name(), r)
		}
	}
}

// stateIs reports whether the first target has a state.
func stateIs(want control.Fate) func(control.ReceiptReport) bool {
	return func(r control.ReceiptReport) bool { return r.Receipts[0].State == want }
}

// saysMarks waits until a node has said its marks. It does so once a second, and its messages
// are 100 ms apart: so it has when it has said twelve.
func saysMarks(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	t.Helper()
	said := number(t, c, n, "fanfare_control_sent_total")
	for end := time.Now().Add(patience); number(t, c, n, "fanfare_control_sent_total") < said+12; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s has said nothing more", n.Name())
		}
	}
}

// onBuses runs a test on a bus with a log and on one without.
func onBuses(t *testing.T, test func(t *testing.T, c *cluster.Cluster)) {
	for name, opts := range map[string][]cluster.Option{"log": nil, "lossy": {cluster.Lossy()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := append(opts, cluster.Configure(func(cfg *fanfare.Config) { cfg.Systems = []string{"orders"} }))
			test(t, cluster.Start(t, 3, opts...))
		})
	}
}
