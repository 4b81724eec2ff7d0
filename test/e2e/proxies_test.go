package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// proxies are those for which deploy/ has a configuration.
var proxies = []string{"nginx", "haproxy", "caddy"}

// A proxy runs the configuration of deploy/.
type proxy struct {
	*process
}

// behind puts a proxy, or "node" for none, before the cluster's nodes.
func (c *cluster) behind(name string) {
	c.t.Helper()
	switch name {
	case "nginx":
		c.withNginx()
	case "haproxy":
		program := needs(c.t, "haproxy")
		c.withProxy(name, func(addr string) *exec.Cmd {
			cmd := exec.Command(program, "-db", "-f", "../../deploy/haproxy/haproxy.cfg")
			cmd.Env = append(os.Environ(), "PROXY_LISTEN="+addr)
			for i := range 3 {
				node := "127.0.0.1:1" // where nobody listens
				if i < len(c.nodes) {
					node = c.nodes[i].addr
				}
				cmd.Env = append(cmd.Env, fmt.Sprintf("PROXY_NODE%d=%s", i+1, node))
			}
			return cmd
		})
	case "caddy":
		program := needs(c.t, "caddy")
		var nodes []string
		for _, n := range c.nodes {
			nodes = append(nodes, n.addr)
		}
		c.withProxy(name, func(addr string) *exec.Cmd {
			cmd := exec.Command(program, "run", "--adapter", "caddyfile", "--config", "../../deploy/caddy/Caddyfile")
			dir := c.t.TempDir() // caddy keeps things at home
			cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir,
				"PROXY_SITE=http://"+addr, "PROXY_NODES="+strings.Join(nodes, " "))
			return cmd
		})
	case "node":
	default:
		c.t.Fatalf("no proxy %q", name)
	}
}

// withProxy starts a proxy on a free port.
func (c *cluster) withProxy(name string, command func(addr string) *exec.Cmd) *proxy {
	c.t.Helper()
	addr := freeport.Address(c.t)
	p := &proxy{start(c.t, name, command(addr))}
	eventually(c.t, 20*time.Second, name+" answers", func() error {
		if !p.running() {
			return nil
		}
		status, _, err := get("http://" + addr + "/healthz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status) // it has not yet found a node
		}
		return err
	})
	if !p.running() {
		c.t.Fatalf("%s did not start:\n%s", name, p.log)
	}
	c.front = addr
	c.t.Cleanup(p.end)
	return p
}

// end stops the proxy and makes sure that no query string and no token got into its log.
func (p *proxy) end() {
	if p.running() {
		p.terminate()
		p.exit(10 * time.Second)
	}
	for _, secret := range []string{"systems=", "resume=", "token=", "fanfare.token.", "Bearer"} {
		if strings.Contains(p.log.String(), secret) {
			p.t.Errorf("%s has logged %q and what stands behind it", p.name, secret)
		}
	}
}

// Proxies pass on what clients and publishers need, name the clients to the nodes, and
// keep what is for operators to themselves.
func TestProxiesPassOnWhatIsPublicAlone(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 2, "memory://", settings{"AUTH_QUERY_TOKEN": "true"})
			c.behind(name)
			for path, want := range map[string]int{
				"/healthz": 200, "/readyz": 200, "/metrics": 404, "/docs": 404, "/": 404, "/debug/pprof/": 404,
				"/v1/nodes": 401, "/ws?systems=orders": 426, "/sse?systems=orders": 401,
			} {
				if status, _, err := get("http://" + c.front + path); err != nil || status != want {
					t.Errorf("GET %s: %d (%v), want %d", path, status, err, want)
				}
			}
			c.mustPost(t, &letter{label: label{"post", 1}, to: []string{"user:alice"}})
			// A page of the host that was asked may connect: the proxy passes the host on, with its port.
			header := http.Header{"Origin": {"http://" + c.front}, "X-Forwarded-For": {"192.0.2.7"}, "Forwarded": {"for=192.0.2.8"}}
			dialer := websocket.Dialer{Subprotocols: []string{"fanfare.v1.json", "fanfare.token." + c.token("alice", "orders")}}
			conn, answer, err := dialer.Dial("ws://"+c.front+"/ws?systems=orders", header)
			if err != nil {
				t.Fatal(err, answer)
			}
			defer conn.Close()
			if _, _, err := conn.ReadMessage(); err != nil {
				t.Error(err)
			}
		})
	}
}
