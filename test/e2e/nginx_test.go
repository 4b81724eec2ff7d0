package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An nginx runs the configuration of deploy/.
type nginx struct {
	*process
}

// withNginx puts nginx before the cluster's nodes.
func (c *cluster) withNginx() *nginx {
	c.t.Helper()
	program := needs(c.t, "nginx")
	template, err := os.ReadFile("../../deploy/nginx/fanfare.conf.template")
	if err != nil {
		c.t.Fatal(err)
	}
	var nodes strings.Builder
	for _, n := range c.nodes {
		fmt.Fprintf(&nodes, "server %s max_fails=0; ", n.addr)
	}
	for range 4 {
		addr := freeAddress(c.t)
		conf := strings.NewReplacer("${PROXY_LISTEN}", addr, "${PROXY_NODES}", nodes.String()).Replace(string(template))
		n := startNginx(c.t, program, conf)
		eventually(c.t, 10*time.Second, "nginx answers", func() error {
			if !n.running() {
				return nil
			}
			_, _, err := get("http://" + addr + "/healthz")
			return err
		})
		if n.running() {
			c.front = addr
			c.t.Cleanup(n.end)
			return n
		}
		if !strings.Contains(n.log.String(), "Address already in use") {
			c.t.Fatalf("nginx did not start:\n%s", n.log)
		}
	}
	c.t.Fatal("nginx: no port stayed free")
	return nil
}

// startNginx runs a server's configuration with everything else in a
// directory of the test's own, as any user.
func startNginx(t *testing.T, program, conf string) *nginx {
	t.Helper()
	dir := t.TempDir()
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // else its workers could not enter the directory
	}
	main := fmt.Sprintf(`
%s
daemon off;
worker_processes 2;
pid %[2]s/nginx.pid;
error_log /dev/stderr crit;
events { worker_connections 4096; }
http {
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	%[3]s
}
`, user, dir, conf)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	return &nginx{start(t, "nginx", exec.Command(program, "-p", dir, "-c", file, "-e", "stderr"))}
}

// end stops nginx and makes sure that no query string got into its log: there
// are cursors and tokens in it.
func (n *nginx) end() {
	if n.running() {
		n.terminate()
		n.exit(10 * time.Second)
	}
	if log := n.log.String(); strings.Contains(log, "systems=") || strings.Contains(log, "resume=") {
		n.t.Errorf("nginx has logged a query string")
	}
}
