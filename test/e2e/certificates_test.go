package e2e_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
	"github.com/fanfarebus/fanfare/test/freeport"
)

// Redis wants a certificate of its clients. While a node runs, the authority and all
// certificates are replaced, and Redis closes all connections: nobody misses anything.
func TestCertificatesAreReplacedUnderANode(t *testing.T) {
	needs(t, "redis-server")
	server, client := driverkit.FilesIn(t.TempDir()), driverkit.FilesIn(t.TempDir())
	renew := func() {
		authority := driverkit.NewAuthority(t)
		authority.Write(server, time.Now().Add(time.Hour))
		authority.Write(client, time.Now().Add(time.Hour))
	}
	renew()
	port := freeport.Port(t)
	r := broker.Redis(t, "--tls-port", fmt.Sprint(port), "--tls-auth-clients", "yes",
		"--tls-ca-cert-file", server.CA, "--tls-cert-file", server.Cert, "--tls-key-file", server.Key)
	for _, user := range []string{"node", "publisher"} {
		r.SetUser(user)
	}
	as := func(user string) string {
		return fmt.Sprintf("rediss-streams://%s:secret@127.0.0.1:%d/0?tls_ca=%s&tls_cert=%s&tls_key=%s",
			user, port, client.CA, client.Cert, client.Key)
	}
	c := newCluster(t, 1, as("node"), nil)
	alice := visit(t, c, 0, "")
	for n := range 3 {
		if n > 0 {
			renew()
			if got := r.CLI("CONFIG", "SET", "tls-ca-cert-file", server.CA, "tls-cert-file", server.Cert, "tls-key-file", server.Key); got != "OK" {
				t.Fatal(got)
			}
			r.CLI("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		}
		cmd := exec.Command(fanfareBinary, "publish", "--transport", as("publisher"),
			"--system", "orders", "--to", "user:alice", "--data", fmt.Sprint(2*n))
		cmd.Env = environ(nil)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		eventually(t, 20*time.Second, "the node publishes", func() error {
			a, err := c.post("orders", fmt.Sprintf(`{"id":"n%d","to":"user:alice","data":%d}`, n, 2*n+1))
			if err == nil && a.status != http.StatusAccepted {
				err = fmt.Errorf("%+v", a)
			}
			return err
		})
		for _, want := range []int{2 * n, 2*n + 1} {
			if m, err := alice.next("message"); err != nil || string(m.Data) != fmt.Sprint(want) {
				t.Fatalf("%+v, %v, want %d", m, err, want)
			}
		}
	}
	if log := c.nodes[0].log.String(); strings.Contains(log, "certificate") {
		t.Errorf("the node complains: %s", log)
	}
}
