package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// A NATSServer is a nats-server process with JetStream that belongs to one test.
// Its methods fail the test if something goes wrong, so only the test's own
// goroutine may call them.
type NATSServer struct {
	t       testing.TB
	dir     string
	port    int
	args    []string
	process *process // nil while the server is down
}

// NATS starts a nats-server with JetStream, built from the module that go.mod
// pins, and returns once it answers. Arguments are nats-server's own, such as
// "--user", "u", "--pass", "p" or "--config", file. The server is stopped when
// the test ends.
func NATS(t testing.TB, args ...string) *NATSServer {
	t.Helper()
	skipIfShort(t)
	s := &NATSServer{t: t, dir: t.TempDir(), port: freeport.Port(t), args: args}
	s.t.Cleanup(s.end)
	s.must(s.start())
	return s
}

// natsServer returns the path of the binary. Go builds it at the first call and
// keeps it in its build cache.
var natsServer = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "tool", "-n", "nats-server").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building nats-server: %w\n%s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
})

// Addr returns the server's host:port.
func (s *NATSServer) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL returns the server's URL with a scheme, such as URL("jetstream").
func (s *NATSServer) URL(scheme string) string { return scheme + "://" + s.Addr() }

// Dir returns the directory in which the server stores its data.
func (s *NATSServer) Dir() string { return s.dir }

// Client returns a connection that is closed when the test ends.
func (s *NATSServer) Client(options ...nats.Option) *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect("nats://"+s.Addr(), options...)
	s.must(err)
	s.t.Cleanup(nc.Close)
	return nc
}

// Kill kills the process, as kill -9 does.
func (s *NATSServer) Kill() { s.signal(syscall.SIGKILL); s.wait() }

// Stop stops the process with SIGTERM, as an operator does.
func (s *NATSServer) Stop() { s.signal(syscall.SIGTERM); s.wait() }

// Restart starts the server again on the same port. It stops the server first if
// it runs. Streams in files are there again.
func (s *NATSServer) Restart() {
	s.t.Helper()
	if s.process.running() {
		s.Stop()
	}
	s.must(s.start())
}

// Forget deletes the data of a server that is down.
func (s *NATSServer) Forget() { s.must(os.RemoveAll(filepath.Join(s.dir, "jetstream"))) }

// Freeze suspends the server: connections stay open and swallow what is sent,
// until Thaw. It returns when the server has stopped.
func (s *NATSServer) Freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(startTimeout); !s.stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("broker: nats-server does not stop")
		}
	}
}

// stopped reports whether all threads have stopped, which sending the signal does
// not wait for. Where there is no /proc it reports true at once.
func (s *NATSServer) stopped() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.cmd.Process.Pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if _, state, ok := strings.Cut(string(stat), ") "); err == nil && ok && state[0] != 'T' {
			return false
		}
	}
	return true
}

// Thaw wakes a frozen server.
func (s *NATSServer) Thaw() { s.signal(syscall.SIGCONT) }

// Reload makes the server read its configuration again.
func (s *NATSServer) Reload() { s.signal(syscall.SIGHUP) }

func (s *NATSServer) start() error {
	binary, err := natsServer()
	if err != nil {
		return err
	}
	log := filepath.Join(s.dir, "nats.log")
	_ = os.Remove(log)
	args := append(slices.Clone(s.args), "--addr", "127.0.0.1", "--port", fmt.Sprint(s.port),
		"--jetstream", "--store_dir", s.dir, "--log", log)
	if s.process, err = launch(exec.Command(binary, args...)); err != nil {
		return err
	}
	if err := s.awaitAnswer(log); err != nil {
		s.end()
		said, _ := os.ReadFile(log)
		return fmt.Errorf("nats-server did not start: %w\n%s", err, said)
	}
	return nil
}

// awaitAnswer returns once the process listens and has said in its log that it is ready.
func (s *NATSServer) awaitAnswer(log string) error {
	return s.process.await(startTimeout, func(context.Context) error {
		said, _ := os.ReadFile(log)
		if !strings.Contains(string(said), "Server is ready") {
			return errors.New("it is not ready")
		}
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (s *NATSServer) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.signal(sig); err != nil {
		s.t.Fatalf("broker: %v: nats-server: %v", sig, err)
	}
}

func (s *NATSServer) wait() {
	<-s.process.ended
	s.process = nil
}

func (s *NATSServer) end() {
	s.process.kill()
	s.process = nil
}

func (s *NATSServer) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("broker: %v", err)
	}
}
