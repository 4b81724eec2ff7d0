package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withNginx puts nginx before the cluster's nodes.
func (c *cluster) withNginx() *proxy {
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
	return c.withProxy("nginx", func(addr string) *exec.Cmd {
		conf := strings.NewReplacer("${PROXY_LISTEN}", addr, "${PROXY_NODES}", nodes.String()).Replace(string(template))
		return nginxCommand(c.t, program, conf)
	})
}

// nginxCommand runs a server's configuration with everything else in a
// directory of the test's own, as any user.
func nginxCommand(t *testing.T, program, conf string) *exec.Cmd {
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
	return exec.Command(program, "-p", dir, "-c", file, "-e", "stderr")
}
