package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfarebus/fanfare/test/broker"
)

// controlBuses are the buses that processes can share.
var controlBuses = []struct {
	name string
	log  bool // it keeps what it has carried
	long bool // also test what takes long, and is the same on every bus of its kind
	url  func(t *testing.T) string
}{
	{"redis-streams", true, true, func(t *testing.T) string { return broker.Redis(t).URL("redis-streams") }},
	{"redis", false, true, func(t *testing.T) string { return broker.Redis(t).URL("redis") }},
	{"nats", false, false, func(t *testing.T) string { return broker.NATS(t).URL("nats") }},
	{"jetstream", true, false, func(t *testing.T) string { return broker.NATS(t).URL("jetstream") }},
	{"kafka", true, false, func(t *testing.T) string { return broker.Kafka(t).URL() }},
}

// impatient makes nodes notice a dead one early.
var impatient = settings{
	"CONTROL_HEARTBEAT": "1s", "CONTROL_DEAD_AFTER": "6s", "PRESENCE_SYSTEMS": "orders", "PRESENCE_GRACE": "1s",
}

// Whoever may administer a cluster can log users out, refuse them, and put them into
// rooms, on all nodes at once, and learns who has done it.
func TestControlPlane(t *testing.T) {
	needs(t, "redis-server")
	for _, bus := range controlBuses {
		t.Run(bus.name, func(t *testing.T) {
			c := newCluster(t, 3, bus.url(t), impatient)
			c.withNginx()
			p := c.controlled()
			t.Run("disconnect", p.disconnects)
			t.Run("membership", func(t *testing.T) { p.membership(t, bus.log) })
			t.Run("presence", p.seesWhoIsThere)
			t.Run("revoke", p.revokes)
			t.Run("sessions", p.listsSessions)
			if bus.name == "redis-streams" {
				t.Run("command line", func(t *testing.T) { commandLine(t, c, p) })
			}
			t.Run("frozen node", func(t *testing.T) {
				signal := func(s syscall.Signal) func() { return func() { must(t, c.nodes[2].cmd.Process.Signal(s)) } }
				p.frozen(t, signal(syscall.SIGSTOP), signal(syscall.SIGCONT), bus.long)
			})
			t.Run("block", func(t *testing.T) {
				var restart func()
				if bus.log {
					restart = c.restartAll
				}
				p.blocks(t, c.later, restart)
			})
		})
	}
}

// later starts one more node.
func (c *cluster) later() place {
	n := c.startNode(fmt.Sprintf("n%d", len(c.nodes)+1))
	n.waitReady()
	c.nodes = append(c.nodes, n)
	return place{n.name, n.addr}
}

// restartAll kills all nodes, and starts them again.
func (c *cluster) restartAll() {
	for _, n := range c.nodes {
		n.kill()
	}
	for _, n := range c.nodes {
		c.restart(n)
	}
}

// disconnects lets alice connect five devices behind the load balancer, or a few more until
// they are on all nodes, and ends them. The fastest of a few rounds counts, since the
// machine may be busy.
func (p *controlled) disconnects(t *testing.T) {
	bob := p.mustConnect(t, overV1, p.front, p.pass("bob", nil), "")
	best := time.Hour
	for round := range 3 {
		var devices []*guest
		nodes := make(map[string]bool)
		for i := 0; i < 5 || i < 12 && len(nodes) < len(p.nodes); i++ {
			k, query := []kind{overV1, overPlain, overV1, overSSE, overV1}[i%5], ""
			if i%2 == 0 {
				query = "&rooms=orders/hall"
			}
			d := p.mustConnect(t, k, p.front, p.pass("alice", nil), query)
			if n, ok := d.heard(isOp("hello")); ok {
				nodes[n.Node] = true
			}
			devices = append(devices, d)
		}
		if len(nodes) != len(p.nodes) {
			t.Fatalf("alice's devices are on %v alone", nodes)
		}
		o := p.everywhere(t, p.front, http.MethodPost, "/v1/users/alice/disconnect", `{"reason":"logged out"}`)
		var slowest time.Duration
		for _, d := range devices {
			end := d.ends(t, 4009)
			if end.reason != "logged out" {
				t.Error(d.fault("the reason is %q", end.reason))
			}
			if d.kind != overPlain {
				n, ok := d.heard(isOp("disconnect"))
				if !ok || string(n.Code) != "4009" || n.Reason != "logged out" || n.Reconnect == nil || !*n.Reconnect {
					t.Error(d.fault("want it to be told why, and that it may come back"))
				}
			}
			slowest = max(slowest, end.at.Sub(o.reply.begun))
		}
		t.Logf("round %d: all %d devices were closed after %v, the answer came after %v", round, len(devices), slowest, o.reply.took)
		best = min(best, slowest)
	}
	if best > time.Second {
		t.Errorf("closing all devices took %v at best", best)
	}
	if err := bob.stays(); err != nil {
		t.Error(err)
	}

	final := p.mustConnect(t, overV1, p.nodes[2].addr, p.pass("carol", nil), "")
	p.everywhere(t, p.nodes[0].addr, http.MethodPost, "/v1/users/carol/disconnect", `{"reason":"moved","code":4123,"reconnect":false}`)
	final.ends(t, 4123)
	if n, ok := final.heard(isOp("disconnect")); !ok || n.Reconnect == nil || *n.Reconnect {
		t.Error(final.fault("want it to be told not to come back"))
	}
	p.disconnectsOne(t)
}

// disconnectsOne ends one session of two.
func (p *controlled) disconnectsOne(t *testing.T) {
	t.Helper()
	var sessions [2]struct {
		*guest
		id string
	}
	for i := range sessions {
		d := p.mustConnect(t, overV1, p.nodes[2-i].addr, p.pass("dora", nil), "")
		n, _ := d.heard(isOp("hello"))
		sessions[i].guest, sessions[i].id = d, n.Session
	}
	p.everywhere(t, p.nodes[0].addr, http.MethodPost, "/v1/sessions/"+sessions[0].id+"/disconnect", "")
	sessions[0].ends(t, 4009)
	if err := sessions[1].stays(); err != nil {
		t.Error(err)
	}
}

// revokes ends sessions by their tokens, and refuses these tokens on all nodes.
func (p *controlled) revokes(t *testing.T) {
	phone, tab := p.pass("alice", jwt.MapClaims{"jti": "phone"}), p.pass("alice", jwt.MapClaims{"jti": "tab"})
	var lost []*guest
	for i, k := range []kind{overV1, overPlain, overSSE} {
		lost = append(lost, p.mustConnect(t, k, p.nodes[i].addr, phone, ""))
	}
	kept := p.mustConnect(t, overV1, p.nodes[0].addr, tab, "")
	p.everywhere(t, p.front, http.MethodPost, "/v1/tokens/revoke", `{"jti":"phone","ttl":3600}`)
	for _, d := range lost {
		d.ends(t, 4001)
	}
	if err := kept.stays(); err != nil {
		t.Error(err)
	}
	for _, n := range p.nodes {
		p.wantRefused(t, n, phone, http.StatusUnauthorized, "revoked")
		p.mustConnect(t, overV1, n.addr, tab, "").shut()
	}

	old := p.pass("erin", jwt.MapClaims{"iat": time.Now().Add(-time.Minute).Unix()})
	d := p.mustConnect(t, overV1, p.nodes[1].addr, old, "")
	p.everywhere(t, p.front, http.MethodPost, "/v1/tokens/revoke", `{"user":"erin"}`)
	d.ends(t, 4001)
	for _, n := range p.nodes {
		p.wantRefused(t, n, old, http.StatusUnauthorized, "revoked")
		p.wantRefused(t, n, p.pass("erin", nil), http.StatusUnauthorized) // it does not say when it was issued
	}
	// Tokens say in whole seconds when they were issued.
	eventually(t, 3*time.Second, "a new token is good", func() error {
		d, err := p.connect(overV1, p.nodes[2].addr, p.pass("erin", jwt.MapClaims{"iat": time.Now().Unix()}), "")
		if err == nil {
			d.shut()
		}
		return err
	})
}

// frozen lets the third node hear nothing from freeze to thaw. Whoever commands is told
// in time that this node has not obeyed, and it obeys when it goes on.
func (p *controlled) frozen(t *testing.T, freeze, thaw func(), long bool) {
	here, there, third := p.nodes[0], p.nodes[1], p.nodes[2]
	var devices []*guest
	for _, n := range p.nodes {
		devices = append(devices, p.mustConnect(t, overV1, n.addr, p.pass("alice", nil), ""))
	}
	mallory := p.mustConnect(t, overV1, third.addr, p.pass("mallory2", nil), "")
	p.wantLive(t, 20*time.Second, here, p.names()...)
	freeze()
	goOn := sync.OnceFunc(thaw)
	defer goOn()
	o := p.command(t, here.addr, http.MethodPost, "/v1/users/alice/disconnect", `{"reason":"frozen"}`)
	t.Logf("with a frozen node the answer came after %v", o.reply.took)
	if !slices.Equal(o.Applied, []string{here.name, there.name}) || !slices.Equal(o.Pending, []string{third.name}) {
		t.Errorf("applied by %v, pending on %v", o.Applied, o.Pending)
	}
	if o.reply.took > 4*time.Second {
		t.Errorf("the answer came after %v", o.reply.took)
	}
	devices[0].ends(t, 4009)
	devices[1].ends(t, 4009)
	if err := devices[2].stays(); err != nil {
		t.Error(err)
	}
	if long { // it is even taken for dead
		for _, n := range []place{here, there} {
			p.wantLive(t, 30*time.Second, n, here.name, there.name)
		}
		o := p.command(t, here.addr, http.MethodPut, "/v1/users/mallory2/block", `{"reason":"fraud","ttl":3600}`)
		if !slices.Equal(o.Applied, []string{here.name, there.name}) || len(o.Pending) > 0 {
			t.Errorf("while the third is dead: applied by %v, pending on %v", o.Applied, o.Pending)
		}
	}
	goOn()
	devices[2].ends(t, 4009)
	if long {
		mallory.ends(t, 4003)
		p.wantRefused(t, third, p.pass("mallory2", nil), http.StatusForbidden, "blocked", "fraud")
	}
	p.wantLive(t, 20*time.Second, here, p.names()...)
	p.wantLive(t, 20*time.Second, third, p.names()...)
}

// blocks refuses a user on all nodes, also on one that starts later, and where the bus
// has a log also after all were restarted. Without a log, restart is nil.
func (p *controlled) blocks(t *testing.T, later func() place, restart func()) {
	const path = "/v1/users/mallory/block"
	mallory := p.pass("mallory", nil)
	var devices []*guest
	for i, k := range []kind{overV1, overPlain, overSSE} {
		devices = append(devices, p.mustConnect(t, k, p.nodes[i].addr, mallory, ""))
	}
	p.everywhere(t, p.front, http.MethodPut, path, `{"reason":"fraud","ttl":3600}`)
	for _, d := range devices {
		d.ends(t, 4003)
	}
	p.nodes = append(p.nodes, later())
	p.wantBlocked(t, path, mallory)
	if restart != nil {
		restart()
		p.wantBlocked(t, path, mallory)
	}
	for _, n := range p.nodes { // else the dead incarnations would be waited for
		p.wantLive(t, 30*time.Second, n, p.names()...)
	}
	p.everywhere(t, p.nodes[0].addr, http.MethodDelete, path, "")
	for _, n := range p.nodes {
		p.mustConnect(t, overV1, n.addr, mallory, "").shut()
	}
	var is struct{ Blocked bool }
	if err := p.read(p.front, path, &is); err != nil || is.Blocked {
		t.Errorf("after the block: %+v, %v", is, err)
	}
}

// wantBlocked wants each node to refuse the token's user, and others to be let in.
func (p *controlled) wantBlocked(t *testing.T, path, token string) {
	t.Helper()
	for _, n := range p.nodes {
		p.wantRefused(t, n, token, http.StatusForbidden, "blocked", "fraud")
		p.mustConnect(t, overV1, n.addr, p.pass("bob", nil), "").shut()
		var is struct {
			Blocked bool
			Reason  string
			Expires json.RawMessage
		}
		if err := p.read(n.addr, path, &is); err != nil || !is.Blocked || is.Reason != "fraud" || len(is.Expires) == 0 {
			t.Errorf("%s says of the block: %+v, %v", n.name, is, err)
		}
	}
}

// seesWhoIsThere watches a room that users on other nodes come to and leave.
func (p *controlled) seesWhoIsThere(t *testing.T) {
	watcher := p.mustConnect(t, overV1, p.nodes[0].addr, p.pass("watcher", nil), "")
	must(t, watcher.send(`{"op":"presence","ref":1,"system":"orders","room":"lobby","watch":"users"}`))
	watcher.wants(t, "that nobody is there", func(n notice) bool { return n.Op == "presence" && n.Room == "lobby" && n.Count == 0 })
	bob := []*guest{
		p.mustConnect(t, overV1, p.nodes[1].addr, p.pass("bob", nil), "&rooms=orders/lobby"),
		p.mustConnect(t, overSSE, p.nodes[2].addr, p.pass("bob", nil), "&rooms=orders/lobby"),
	}
	watcher.wants(t, "that bob has come", func(n notice) bool {
		return n.Op == "presence" && n.Count == 1 && slices.Contains(append(n.Joined, n.Users...), "bob")
	})
	p.wantPresent(t, 10*time.Second, "lobby", "bob")
	bob[0].shut()
	p.wantPresent(t, 10*time.Second, "lobby", "bob")
	if n, ok := watcher.heard(hasLeft("bob")); ok {
		t.Errorf("though bob has a device there, the watcher was told %+v", n)
	}
	bob[1].shut()
	watcher.wants(t, "that bob has left", hasLeft("bob"))
	p.wantPresent(t, 10*time.Second, "lobby")
	r, err := p.ask(p.front, http.MethodPost, "/v1/systems/orders/presence", `{"users":["bob","watcher","nobody"]}`)
	var found struct{ Users []any }
	if err = errors.Join(err, json.Unmarshal([]byte(r.body), &found)); err != nil || len(found.Users) != 1 {
		t.Errorf("of three users only the watcher is there, but: %d %s %v", r.status, r.body, err)
	}
	if r, err := p.ask(p.front, http.MethodGet, "/v1/systems/chat/presence", ""); err != nil || r.status != http.StatusNotFound {
		t.Errorf("presence is not kept for chat, but: %d %s %v", r.status, r.body, err)
	}
}

func hasLeft(user string) func(notice) bool {
	return func(n notice) bool { return n.Op == "presence" && slices.Contains(n.Left, user) }
}
