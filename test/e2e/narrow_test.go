package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/test/broker"
)

// Nodes, a publisher and a consumer that may use the topics of one system only do their
// work, and see nothing of other systems: docs/operating.md lists their rights. Without the
// control topic's key nodes work on, and say what to allow.
func TestRightsForOneSystem(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	as := func(user string) string { return fmt.Sprintf("redis-streams://%s:secret@%s/0", user, r.Addr()) }
	for _, user := range []string{"orders-node", "orders-publisher", "orders-consumer"} {
		r.SetUser(user)
	}
	c := newCluster(t, 2, as("orders-node"), settings{"SYSTEMS": "orders", "PRESENCE_SYSTEMS": "orders", "EVENTS": "orders"})
	p := c.controlled()
	for _, n := range p.nodes {
		p.wantLive(t, 20*time.Second, n, p.names()...)
	}
	run := func(args ...string) (string, error) {
		cmd := exec.Command(fanfareBinary, args...)
		cmd.Env = environ(nil)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	publish := func(user, system string) (string, error) {
		return run("publish", "--transport", as(user), "--system", system, "--to", "user:alice", "--data", "1")
	}
	alice := visit(t, c, 1, "")
	if out, err := publish("orders-publisher", "orders"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if m, err := alice.next("message"); err != nil || string(m.Data) != "1" {
		t.Fatalf("%+v, %v", m, err)
	}
	if a, err := c.post("orders", `{"to":"user:alice","data":2}`); err != nil || a.status != http.StatusAccepted {
		t.Fatalf("%+v, %v", a, err)
	}
	must(t, alice.WriteMessage(websocket.TextMessage, []byte(`{"op":"send","ref":1,"system":"orders","data":"to the shop"}`)))
	for args, want := range map[string]string{"": "to the shop", "--events": "alice"} {
		all := append([]string{"inbound", "--transport", as("orders-consumer"), "--system", "orders", "--group", "shop", "--count", "1"},
			strings.Fields(args)...)
		if out, err := run(all...); err != nil || !strings.Contains(out, want) || lacking.MatchString(out) {
			t.Errorf("inbound %s: %v: %s", args, err, out)
		}
	}
	for user, system := range map[string]string{"orders-publisher": "chat", "orders-consumer": "orders"} {
		want := "ACL SETUSER " + user
		if out, err := publish(user, system); err == nil || !strings.Contains(out, want) || strings.Contains(out, "bus is down") {
			t.Errorf("%s publishes to %s: %v: %s", user, system, err, out)
		}
	}
	for _, n := range c.nodes {
		if lacking.MatchString(n.log.String()) {
			t.Errorf("%s complains: %s", n.name, n.log)
		}
	}

	must(t, r.Client().Do(t.Context(), "ACL", "SETUSER", "orders-node", "resetkeys", "~fanfare.orders", "~fanfare.orders.*").Err())
	const want = "ACL SETUSER orders-node ~fanfare._control"
	for _, n := range c.nodes {
		eventually(t, 30*time.Second, "a node says that the control topic's key is missing", func() error {
			if !strings.Contains(n.log.String(), want) {
				return errors.New("it does not")
			}
			return nil
		})
	}
	if out, err := publish("orders-publisher", "orders"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, number := range []string{"2", "1"} {
		if m, err := alice.next("message"); err != nil || string(m.Data) != number {
			t.Fatalf("%+v, %v, want %s", m, err, number)
		}
	}
}
