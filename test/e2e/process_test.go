package e2e_test

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is started by a test. When the test ends, the process is killed if it
// still runs, its log is searched for what must not be there, and the log is shown
// if the test has failed.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	log   *logBuffer
	ended chan struct{}
	err   error // of Wait; read it when ended is closed
}

// start starts cmd. Its output, where it is not taken already, becomes the log.
func start(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, log: &logBuffer{}, ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.log
	}
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.cleanup)
	return p
}

func (p *process) cleanup() {
	p.kill()
	log := p.log.String()
	if bad := fatal.FindString(log); bad != "" {
		p.t.Errorf("%s: its log holds %q", p.name, bad)
	}
	if p.t.Failed() {
		p.t.Logf("log of %s:\n%s", p.name, tail(log, 8_000))
	}
}

// fatal is text that must not be in the log of any process.
var fatal = regexp.MustCompile(`DATA RACE|(?m)^panic: .*|^fatal error: .*|goroutine \d+ \[|caused a panic`)

// kill ends it as kill -9 does, and waits until it is gone.
func (p *process) kill() {
	select {
	case <-p.ended:
	default:
		_ = p.cmd.Process.Kill() // it may just have ended
		<-p.ended
	}
}

// terminate asks it to end.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Errorf("%s: SIGTERM: %v", p.name, err)
	}
}

// exit waits until it has ended by itself, and returns its exit code.
func (p *process) exit(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		p.t.Fatalf("%s: has not ended within %v", p.name, within)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// A logBuffer is a Writer that can be read while it is written to.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func tail(s string, most int) string {
	if len(s) <= most {
		return s
	}
	_, rest, _ := strings.Cut(s[len(s)-most:], "\n")
	return "…\n" + rest
}
