package docs_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/docs"
	"github.com/fanfarebus/fanfare/test/freeport"
)

// unrun are pages of which no block is run, and why.
var unrun = map[string]string{
	"docs/performance.md": "make bench writes this page, with the commands that it has run",
}

// patience bounds how long one block may take. Some compile on a machine that is busy.
const patience = 2 * time.Minute

// bin is the directory of the command fanfare.
var bin string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if testing.Short() {
		return m.Run() // which needs no command
	}
	dir, err := os.MkdirTemp("", "fanfare-docs-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "github.com/fanfarebus/fanfare/cmd/fanfare")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build has it
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("building fanfare: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// Every block of shell commands does what it should, in the order of its page. Those that
// are left out say why.
func TestBlocksOfPagesRun(t *testing.T) {
	for _, page := range pages(t) {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			if why, ok := unrun[page]; ok {
				t.Skipf("not run: %s", why)
			}
			var w *world
			blocks := blocksOf(t, root, page)
			for _, b := range blocks {
				if page == "README.md" && b.Section == tryIt {
					continue // TestANewcomerGetsAMessageInTwoMinutes runs these
				}
				if b.NotRun != "" {
					t.Run(b.Name(), func(t *testing.T) { t.Skipf("not run: %s", b.NotRun) })
					continue
				}
				if w == nil {
					w = newWorld(t, !slices.ContainsFunc(blocks, startsNode))
				}
				w.run(t, b)
			}
		})
	}
}

// A world is what the blocks of one page find: a directory of their own with a
// fanfare.yaml, Redis, and, unless the page starts
// one itself, a node on that Redis, which knows who is there and takes the key in FANFARE_KEY.
type world struct {
	dir   string            // where blocks are run
	env   string            // a file with the variables that blocks have exported
	shims string            // a directory with commands that take the test's servers for the usual ones
	ports map[string]string // the test's port for each port that pages name
}

// A port is one that pages name, on the machine that they name it on; listeners name none.
var port = regexp.MustCompile(`(?:\b(?:localhost|127\.0\.0\.1|redis))?:(6379|8080|8081|9090)\b`)

const secret = "a secret of the tests with enough bytes in it"

// startsNode says whether a block starts a node that the next blocks use.
func startsNode(b docs.Block) bool { return b.Stays() && strings.Contains(b.Text, "fanfare serve") }

func newWorld(t *testing.T, withNode bool) *world {
	t.Helper()
	const key = "a key of the tests for everything"
	for _, program := range []string{"bash", "curl", "openssl"} {
		needs(t, program)
	}
	_, redis, err := net.SplitHostPort(broker.Redis(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: t.TempDir(), shims: t.TempDir(), ports: map[string]string{"6379": redis}}
	w.env = filepath.Join(w.shims, "env")
	w.write(t, "env", fmt.Sprintf("export FANFARE_KEY='%s'\n", key))
	w.write(t, "redis-cli", fmt.Sprintf("#!/bin/sh\nexec %s -p %s \"$@\"\n", needs(t, "redis-cli"), redis))
	settings := fmt.Sprintf("transport: redis-streams://localhost:%s/0\nlisten: 127.0.0.1:0\nauth: {jwt: {secret: %s}}\n", redis, secret)
	if err := os.WriteFile(filepath.Join(w.dir, "fanfare.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	if !withNode {
		return w
	}
	w.run(t, docs.Block{Page: "the test's node", Until: "msg=listening", Text: fmt.Sprintf(
		"fanfare serve --transport redis-streams://localhost:6379/0 --listen :8080 --presence.systems '*' "+
			"--auth.jwt.secret '%s' --auth.api_keys 'all:*:%x'\n", secret, sha256.Sum256([]byte(key)))})
	eventually(t, "the test's node is ready", func() error {
		answer, err := http.Get("http://" + w.address("8080") + "/readyz")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", answer.Status)
		}
		return nil
	})
	return w
}

func (w *world) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.shims, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// address returns where the test has what pages have on a port.
func (w *world) address(port string) string { return "127.0.0.1:" + w.ports[port] }

// adapted returns a block with the test's addresses. A node that goes on beside the next
// blocks has ports of its own, and they mean that node from then on.
func (w *world) adapted(t *testing.T, b docs.Block) string {
	text := strings.ReplaceAll(b.Text, "https://push.example.com", "http://localhost:8080")
	return port.ReplaceAllStringFunc(text, func(found string) string {
		name := found[strings.LastIndex(found, ":")+1:]
		listens := startsNode(b) && name != "6379"
		if _, ok := w.ports[name]; !ok || listens {
			w.ports[name] = strconv.Itoa(freeport.Port(t))
		}
		return w.address(name)
	})
}

// run runs a block, and fails the test if a command of it fails. One that has to print
// something is run again until it does, as a reader would who has looked too early.
func (w *world) run(t *testing.T, b docs.Block) *output {
	t.Helper()
	text := w.adapted(t, b)
	script := fmt.Sprintf("set -euo pipefail\n. '%s'\nexport FANFARE_URL=http://%s\n%s", w.env, w.address("8080"), text)
	switch {
	case b.Until != "":
		out := w.start(t, script)
		out.wait(t, b.Name(), b.Until)
		return out
	case b.For > 0:
		out := w.start(t, script)
		out.stays(t, b.Name(), b.For)
		return out
	}
	script += fmt.Sprintf("\nexport -p > '%s'\n", w.env) // for the next blocks
	var out *output
	eventually(t, b.Name(), func() error {
		out = w.start(t, script)
		out.end(t, b.Name())
		if got := out.String(); !strings.Contains(got, b.Prints) {
			return fmt.Errorf("it does not print %q, but\n%s", b.Prints, got)
		}
		return nil
	})
	return out
}

// start starts a script in the directory of the world.
func (w *world) start(t *testing.T, script string) *output {
	t.Helper()
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "HOME="+w.shims, "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"),
		"PATH="+w.shims+":"+bin+":"+os.Getenv("PATH"))
	return start(t, cmd)
}

// An output is what a process has printed.
type output struct {
	ended chan error // holds how the process ended

	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// start starts a process with a group of its own, which is killed when the test ends.
func start(t *testing.T, cmd *exec.Cmd) *output {
	t.Helper()
	o := &output{ended: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = o, o
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { o.ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		<-o.ended
	})
	return o
}

// Write takes what the process prints.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait waits until the process has printed a text.
func (o *output) wait(t *testing.T, what, text string) {
	t.Helper()
	eventually(t, what, func() error {
		if got := o.String(); !strings.Contains(got, text) {
			return fmt.Errorf("it has not printed %q, but\n%s", text, got)
		}
		return nil
	})
}

// end waits until the process ends, and fails the test if it ends badly.
func (o *output) end(t *testing.T, what string) {
	t.Helper()
	select {
	case err := <-o.ended:
		o.ended <- err // for the cleanup
		if err != nil {
			t.Fatalf("%s: %v; it printed\n%s", what, err, o)
		}
	case <-time.After(patience):
		t.Fatalf("%s does not end; it printed\n%s", what, o)
	}
}

// stays waits for so long, and fails the test if the process ends before that.
func (o *output) stays(t *testing.T, what string, d time.Duration) {
	t.Helper()
	select {
	case err := <-o.ended:
		o.ended <- err // for the cleanup
		t.Fatalf("%s ends (%v), and printed\n%s", what, err, o)
	case <-time.After(d):
	}
}

// eventually polls until check finds no fault, and fails the test with the last one when
// patience is over.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	over := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// needs skips the test if a program is not installed, and returns its path.
func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed: run make tools", program)
	}
	return path
}
