package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/test/broker"
)

// receiptClient is the environment variable with which this test binary is a client: a URL
// and a token.
const receiptClient = "FANFARE_TEST_RECEIPT_CLIENT"

// runReceiptClient acknowledges each message whose data is "handled", and prints the data of
// all. It runs until it is killed, or its connection ends.
func runReceiptClient(arg string) {
	url, token, _ := strings.Cut(arg, " ")
	dialer := websocket.Dialer{Subprotocols: []string{"fanfare.v1.json"}}
	conn, _, err := dialer.Dial(url, http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("open")
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			var op struct{ Op, Cursor, Data string }
			if json.Unmarshal([]byte(line), &op) != nil || op.Op != "message" {
				continue
			}
			if op.Data == "handled" {
				ack := fmt.Sprintf(`{"op":"ack","system":"orders","cursor":%q}`, op.Cursor)
				if conn.WriteMessage(websocket.TextMessage, []byte(ack)) != nil {
					return
				}
			}
			fmt.Println(op.Data)
		}
	}
}

// A client process that is killed has acknowledged what it had handled before, and nothing
// else, whichever node is asked, and also when its node is killed as well.
func TestKilledClientHasNotAcknowledged(t *testing.T) {
	t.Parallel()
	needs(t, "redis-server")
	c := newCluster(t, 3, broker.Redis(t).URL("redis-streams"), settings{"CONTROL_DEAD_AFTER": "3s", "CONTROL_HEARTBEAT": "200ms"})
	p := c.controlled()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(),
		receiptClient+"=ws://"+c.nodes[1].addr+"/ws?systems=orders "+c.token("alice", "orders"))
	client := start(t, "client", cmd)
	prints := func(text string) {
		t.Helper()
		eventually(t, 30*time.Second, "the client prints "+text, func() error {
			if !strings.Contains(client.log.String(), text) {
				return fmt.Errorf("it has printed %q", client.log)
			}
			return nil
		})
	}
	report := func(r reply, err error) (got control.ReceiptReport) {
		t.Helper()
		if err == nil && r.status == http.StatusOK {
			err = json.Unmarshal([]byte(r.body), &got)
		}
		if err != nil || len(got.Receipts) != 1 {
			t.Fatalf("%d %s %v", r.status, r.body, err)
		}
		return got
	}
	publish := func(data, wait string) control.ReceiptReport {
		t.Helper()
		return report(p.ask(c.nodes[0].addr, "POST", "/v1/systems/orders/messages?wait="+wait, `{"to":"user:alice","data":"`+data+`"}`))
	}
	prints("open")
	handled := publish("handled", "acked:14s")
	if handled.Receipts[0].State != control.FateAcked {
		t.Fatalf("the first message: %+v", handled)
	}
	lost := publish("lost", "written:14s")
	prints("lost")
	client.kill()

	wants := func(n *node, id string, want control.Fate, more func(control.ReceiptReport) bool) {
		t.Helper()
		eventually(t, 30*time.Second, n.name+" says "+string(want), func() error {
			got := report(p.ask(n.addr, "GET", "/v1/systems/orders/messages/"+id+"/receipts", ""))
			if id == lost.ID && got.Receipts[0].Counts[control.FateAcked] > 0 {
				t.Fatalf("%s says that a killed client has acknowledged: %+v", n.name, got)
			}
			if got.Receipts[0].State != want || !more(got) {
				return fmt.Errorf("it says %+v", got)
			}
			return nil
		})
	}
	ended := func(r control.ReceiptReport) bool {
		return len(r.Receipts[0].Sessions) == 1 && !r.Receipts[0].Sessions[0].Ended.IsZero()
	}
	for _, n := range c.nodes {
		wants(n, handled.ID, control.FateAcked, ended)
		wants(n, lost.ID, control.FateWritten, ended)
	}
	// The marks are said once a second, and messages are 100 ms apart: so they have been when
	// twelve messages have.
	said := c.nodes[1].metric("fanfare_control_sent_total")
	eventually(t, 60*time.Second, "n2 says its marks", func() error {
		if now := c.nodes[1].metric("fanfare_control_sent_total"); now < said+12 {
			return fmt.Errorf("it has said %v messages after %v", now, said)
		}
		return nil
	})
	c.nodes[1].kill()
	for _, n := range []*node{c.nodes[0], c.nodes[2]} {
		isGone := func(r control.ReceiptReport) bool {
			return len(r.Silent) == 0 && r.Receipts[0].Sessions[0].Node == "n2"
		}
		wants(n, handled.ID, control.FateAcked, isGone)
		wants(n, lost.ID, control.FateWritten, isGone)
	}
}
