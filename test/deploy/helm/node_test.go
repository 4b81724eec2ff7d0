package helm_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
)

// A node is a pod's container on this machine: its arguments and its environment, with
// its files in a directory of the test.
type node struct {
	args, env []string
	ports     map[string]string // addresses, by the ports' names
}

// secrets are what a Secret may hold, by the names of its keys.
var secrets = map[string]string{
	"transport":  "redis-streams://:password@127.0.0.1:1/0",
	"jwt-secret": strings.Repeat("s", 32),
	"api-keys":   "shop:publish/orders:" + sixtyFour,
	"keys.pem":   "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
}

// materialize puts the files of the pod's volumes, as the kubelet does, into a
// directory: what `..data` leads to can be replaced at once. The paths in the arguments
// and in the settings become those of the directory, and the ports free ones.
func materialize(t *testing.T, o objects, instead map[string]string) node {
	t.Helper()
	d, c := o.deployment(t)
	root := t.TempDir()
	n := node{ports: map[string]string{}}
	var replace []string
	for _, p := range c.Ports {
		n.ports[p.Name] = freeAddress(t)
		replace = append(replace, fmt.Sprintf("%q", fmt.Sprintf(":%d", p.ContainerPort)), fmt.Sprintf("%q", n.ports[p.Name]))
	}
	for _, m := range c.VolumeMounts {
		replace = append(replace, m.MountPath+"/", filepath.Join(root, m.MountPath)+"/")
	}
	here := strings.NewReplacer(replace...)
	for _, v := range d.Spec.Template.Spec.Volumes {
		files := map[string]string{}
		switch {
		case v.ConfigMap != nil && v.ConfigMap.Name == o.settings[0].Name:
			for name, text := range o.settings[0].Data {
				files[name] = here.Replace(text)
			}
		case v.Secret != nil && v.Name == "secret":
			for name, text := range secrets {
				files[name] = text
			}
			for name, text := range instead {
				files[name] = text
			}
		case v.Secret != nil: // of the values
		default:
			t.Fatalf("volume %s comes from nowhere", v.Name)
		}
		for _, m := range c.VolumeMounts {
			if m.Name == v.Name {
				mount(t, filepath.Join(root, m.MountPath), files)
			}
		}
	}
	for _, arg := range c.Args {
		n.args = append(n.args, here.Replace(arg))
	}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			if e.ValueFrom.FieldRef == nil || e.ValueFrom.FieldRef.FieldPath != "metadata.name" {
				t.Fatalf("%s comes from %v", e.Name, e.ValueFrom)
			}
			value = d.Name + "-5d8f7b9c4-x2x7k"
		}
		n.env = append(n.env, e.Name+"="+value)
	}
	return n
}

func mount(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	data := filepath.Join(dir, "..2026_01_02")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Base(data), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(data, name), []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// freeAddress returns an address of 127.0.0.1 with a port that is the test's until it ends.
// It is below the ports that systems take for outgoing connections, and reserved by a UDP
// socket of the same number, as package test/freeport does it: to import that package, this
// module would have to require what Fanfare requires.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 18000+rand.N(14000))
		reservation, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = reservation.Close() })
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// A pod's container starts, its probes find it, as they are given, and after SIGTERM it
// ends by itself within the time that it has.
func TestAPodLives(t *testing.T) {
	t.Parallel()
	o := decode(t, template(t, least+"drainSeconds: 1\n"))
	d, c := o.deployment(t)
	n := materialize(t, o, map[string]string{"transport": "memory://"})
	var log bytes.Buffer // read when the process has ended
	cmd := exec.Command(fanfareBinary, n.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = n.env, &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	var err error // of Wait; read it when ended is closed
	ended := make(chan struct{})
	go func() { err = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("log of the node:\n%s", &log)
		}
	})
	started := time.Duration(c.StartupProbe.FailureThreshold*c.StartupProbe.PeriodSeconds) * time.Second
	for what, probe := range map[string]*core.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		url := "http://" + n.ports[probe.HTTPGet.Port.StrVal] + probe.HTTPGet.Path
		eventually(t, started, what, func() error { return ok(url) })
	}
	if err := ok("http://" + n.ports["admin"] + o.metricsPath()); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
		if err != nil {
			t.Errorf("the node did not end well: %v", err)
		}
	case <-time.After(grace):
		t.Errorf("the node has not ended after %v", grace)
	}
}

// metricsPath is where the ServiceMonitor, if there is one, asks for metrics.
func (o *objects) metricsPath() string {
	if len(o.monitors) == 0 {
		return "/metrics"
	}
	return o.monitors[0].Spec.Endpoints[0].Path
}

func ok(url string) error {
	ask := http.Client{Timeout: 3 * time.Second}
	r, err := ask.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, r.Status)
	}
	return nil
}

func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	over := time.After(within)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
	}
}
