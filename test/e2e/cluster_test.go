package e2e_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// A cluster is some nodes with the same settings and secrets and, if there is
// nginx before them, its address.
type cluster struct {
	t      *testing.T
	dir    string
	secret []byte // of session tokens
	key    string // of publishers
	env    map[string]string
	nodes  []*node
	front  string // host:port that clients and publishers use
}

// settings are environment variables of nodes without their prefix:
// "LIMITS_STALL": "2s". Those of OpenTelemetry have theirs.
type settings map[string]string

// newCluster starts nodes on a bus and waits until they are ready.
func newCluster(t *testing.T, nodes int, transport string, more settings) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), secret: random(48), key: base64.RawURLEncoding.EncodeToString(random(32))}
	secretFile := filepath.Join(c.dir, "jwt.secret")
	// A secret in a file is text, and what stands around it is cut off.
	c.secret = []byte(hex.EncodeToString(c.secret))
	if err := os.WriteFile(secretFile, append(c.secret, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(c.key))
	c.env = settings{
		"TRANSPORT":            transport,
		"SYSTEMS":              "orders,chat",
		"AUTH_JWT_SECRET_FILE": secretFile,
		"AUTH_API_KEYS":        "e2e:*:" + hex.EncodeToString(sum[:]),
		"PROXIES":              "127.0.0.1/32",
		"DRAIN":                "1s",
		"LOG_LEVEL":            "info",
	}
	maps.Copy(c.env, more)
	for i := range nodes {
		c.nodes = append(c.nodes, c.startNode(fmt.Sprintf("n%d", i+1)))
	}
	for _, n := range c.nodes {
		n.waitReady()
	}
	c.front = c.nodes[0].addr
	return c
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// token returns a JWT of the user, good for the systems, all their rooms and
// sending to these and to the systems themselves.
func (c *cluster) token(user string, systems ...string) string {
	c.t.Helper()
	var rooms, send []string
	for _, s := range systems {
		rooms, send = append(rooms, s+"/*"), append(send, s+"/room:*", s+"/inbound")
	}
	return c.sign(jwt.MapClaims{"sub": user, "exp": time.Now().Add(time.Hour).Unix(), "systems": systems, "rooms": rooms, "send": send})
}

func (c *cluster) sign(claims jwt.MapClaims) string {
	c.t.Helper()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(c.secret)
	if err != nil {
		c.t.Fatal(err)
	}
	return signed
}

// metric sums a series over the nodes that run.
func (c *cluster) metric(series string) (sum float64) {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.running() {
			sum += n.metric(series)
		}
	}
	return sum
}

// A node is one `fanfare serve`.
type node struct {
	*process
	name, addr string
}

// startNode starts a node on a free port.
func (c *cluster) startNode(name string) *node {
	c.t.Helper()
	n := &node{name: name, addr: freeport.Address(c.t)}
	if !c.run(n) {
		c.t.Fatalf("node %s did not start:\n%s", name, n.log)
	}
	return n
}

// run starts a node's process, and says whether it answers or has ended.
func (c *cluster) run(n *node) bool {
	c.t.Helper()
	cmd := exec.Command(fanfareBinary, "serve", "--listen", n.addr, "--node", n.name)
	cmd.Dir = c.dir
	cmd.Env = environ(c.env)
	n.process = start(c.t, "node "+n.name, cmd)
	eventually(c.t, 20*time.Second, "node "+n.name+" answers", func() error {
		if !n.running() {
			return nil
		}
		_, _, err := get("http://" + n.addr + "/healthz")
		return err
	})
	if !n.running() {
		return false
	}
	c.t.Cleanup(n.end)
	return true
}

// restart starts a node that has ended once more, under its name and address,
// and waits until it is ready.
func (c *cluster) restart(n *node) {
	c.t.Helper()
	if !c.run(n) {
		c.t.Fatalf("node %s did not start again:\n%s", n.name, n.log)
	}
	n.waitReady()
}

// environ is an environment of ours alone. A program with the race detector
// sleeps a second before it ends, unless it is told not to.
func environ(of settings) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "GORACE=atexit_sleep_ms=0"}
	for name, value := range of {
		if strings.HasPrefix(name, "OTEL_") { // which are not ours
			env = append(env, name+"="+value)
			continue
		}
		env = append(env, "FANFARE_"+name+"="+value)
	}
	return env
}

// end stops the node, if the test has not, as an operator would.
func (n *node) end() {
	if n.running() {
		n.terminate()
		if code := n.exit(20 * time.Second); code != 0 {
			n.t.Errorf("node %s: exit code %d after SIGTERM", n.name, code)
		}
	}
}

func (n *node) waitReady() {
	n.t.Helper()
	eventually(n.t, 20*time.Second, "node "+n.name+" is ready", func() error {
		status, body, err := get("http://" + n.addr + "/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		return err
	})
}

// metric returns the value of a series, such as
// `fanfare_outbox_full_total{system="chat"}`, or with {*} the sum of all series of the
// metric; one that is not there is 0.
func (n *node) metric(series string) float64 {
	n.t.Helper()
	status, body, err := get("http://" + n.addr + "/metrics")
	if err != nil || status != http.StatusOK {
		n.t.Fatalf("metrics of %s: %d, %v", n.name, status, err)
	}
	name, all := strings.CutSuffix(series, "{*}")
	sum := 0.0
	for line := range strings.Lines(body) {
		shown, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if shown != series && !(all && strings.HasPrefix(shown, name+"{")) {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			n.t.Fatalf("metrics of %s: %q: %v", n.name, line, err)
		}
		sum += value
	}
	return sum
}

var httpClient = &http.Client{Timeout: 10 * time.Second}

func get(url string) (status int, body string, err error) {
	res, err := httpClient.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}
