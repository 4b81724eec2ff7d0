// Package deploy tests what deploy/ holds: that a node starts with it, that the tools
// for which it is written accept it, and that it names only what a node has. What needs
// Helm is in the module below, test/deploy/helm, because Helm requires more modules than
// Fanfare does.
package deploy_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fanfareBinary is the path of the binary under test.
var fanfareBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("tests of deploy/ start nodes and tools: not in short mode")
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fanfare-deploy-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	fanfareBinary = filepath.Join(dir, "fanfare")
	build := exec.Command("go", "build", "-o", fanfareBinary, "github.com/fanfarebus/fanfare/cmd/fanfare")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("building fanfare: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// needs skips the test if a program is not installed, and returns its path.
func needs(t *testing.T, program string) string {
	t.Helper()
	for _, path := range []string{program, "/usr/sbin/" + program} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("%s is not installed: run `make tools`", program)
	return ""
}

// must runs a command, and returns what it says.
func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// eventually polls until check finds no fault, and fails the test with the last one
// when the time is over.
func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	over := time.After(within)
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
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
	}
}

// A log is what a process has written, and the process.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu

	process *os.Process // that writes it
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start starts a node, with nothing of this process's environment but what env has. It
// is told to end, and awaited, when the test ends.
func start(t *testing.T, env []string, args ...string) *log {
	t.Helper()
	said := &log{}
	cmd := exec.Command(fanfareBinary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append([]string{"HOME=/nonexistent"}, env...), said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said.process = cmd.Process
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		killed := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		if !killed.Stop() || err != nil {
			t.Errorf("the node did not end well: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the node:\n%s", strings.TrimSpace(said.String()))
		}
	})
	return said
}
