// Package broker starts real message brokers for tests. Each listens on a free
// port of 127.0.0.1 and has a directory of its own. Both are gone when the test
// ends. [NewProxy] makes a proxy that can cut and swallow connections to any of
// them.
package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// startTimeout bounds how long a broker may take to answer its first ping.
const startTimeout = 15 * time.Second

// A RedisServer is a redis-server process that belongs to one test. Its methods
// fail the test if something goes wrong, so only the test's own goroutine may call
// them.
type RedisServer struct {
	t       testing.TB
	dir     string
	port    int
	args    []string // without port and directory
	pass    string
	process *process // nil while the server is down
}

// Redis starts a redis-server without persistence and returns once it answers. The
// environment variable REDIS_SERVER names another program that takes the same arguments,
// such as a valkey-server.
// Arguments are redis-server's own, such as "--requirepass", "secret". The
// server is stopped when the test ends.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	s := &RedisServer{t: t, dir: t.TempDir(), args: append([]string{"--save", "", "--appendonly", "no"}, args...)}
	if i := slices.Index(args, "--requirepass"); i >= 0 && i+1 < len(args) {
		s.pass = args[i+1]
	}
	return s.run()
}

// Sentinel starts a sentinel that watches the master under the given name. Lines
// are further lines of its configuration, such as "requirepass secret".
func Sentinel(t testing.TB, name string, master *RedisServer, lines ...string) *RedisServer {
	t.Helper()
	s := &RedisServer{t: t, dir: t.TempDir()}
	conf := filepath.Join(s.dir, "sentinel.conf")
	lines = append([]string{fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1", name, master.port)}, lines...)
	if master.pass != "" {
		lines = append(lines, fmt.Sprintf("sentinel auth-pass %s %s", name, master.pass))
	}
	for _, line := range lines {
		if pass, ok := strings.CutPrefix(line, "requirepass "); ok {
			s.pass = pass
		}
	}
	s.must(os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	s.args = []string{conf, "--sentinel"}
	return s.run()
}

func (s *RedisServer) run() *RedisServer {
	s.t.Helper()
	skipIfShort(s.t)
	s.port = freeport.Port(s.t)
	s.t.Cleanup(s.end)
	err := s.start()
	skipIfUnwanted(s.t, err)
	s.must(err)
	return s
}

// Addr returns the server's host:port.
func (s *RedisServer) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// TLSAddr returns the host:port at which a server that was started with --tls-port speaks
// TLS.
func (s *RedisServer) TLSAddr() string {
	s.t.Helper()
	i := slices.Index(s.args, "--tls-port")
	if i < 0 {
		s.t.Fatal("broker: the server has no --tls-port")
	}
	return "127.0.0.1:" + s.args[i+1]
}

// URL returns the URL of database 0 with a scheme, such as URL("redis").
func (s *RedisServer) URL(scheme string) string { return scheme + "://" + s.Addr() + "/0" }

// Dir returns the server's working directory.
func (s *RedisServer) Dir() string { return s.dir }

// Client returns a client that is closed when the test ends.
func (s *RedisServer) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), Protocol: 2, DisableIdentity: true, Password: s.pass})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// CLI runs redis-cli against the server and returns what it prints.
func (s *RedisServer) CLI(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("redis-cli", append([]string{"-p", fmt.Sprint(s.port)}, args...)...)
	if s.pass != "" {
		cmd.Env = append(os.Environ(), "REDISCLI_AUTH="+s.pass)
	}
	out, err := cmd.CombinedOutput()
	s.must(err)
	return strings.TrimSpace(string(out))
}

// Kill kills the process, as kill -9 does. It saves nothing.
func (s *RedisServer) Kill() { s.signal(syscall.SIGKILL); s.wait() }

// Stop stops the process with SIGTERM, as an operator does.
func (s *RedisServer) Stop() { s.signal(syscall.SIGTERM); s.wait() }

// Restart starts the server again on the same port. It stops the server first if
// it runs.
func (s *RedisServer) Restart() {
	s.t.Helper()
	if s.process.running() {
		s.Stop()
	}
	s.must(s.start())
}

// Freeze suspends the server: connections stay open and swallow what is sent,
// until Thaw.
func (s *RedisServer) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw wakes a frozen server.
func (s *RedisServer) Thaw() { s.signal(syscall.SIGCONT) }

func (s *RedisServer) start() error {
	args := append(slices.Clone(s.args),
		"--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--logfile", "redis.log")
	cmd := exec.Command(cmp.Or(os.Getenv("REDIS_SERVER"), "redis-server"), args...)
	started, err := launch(cmd)
	if errors.Is(err, exec.ErrNotFound) {
		err = fmt.Errorf("redis-server is not installed: "+
			"run `make tools`, or `apt-get install redis-server`: %w", err)
	}
	if err != nil {
		return err
	}
	s.process = started
	if err := s.awaitAnswer(); err != nil {
		s.end()
		log, _ := os.ReadFile(filepath.Join(s.dir, "redis.log"))
		return fmt.Errorf("redis-server did not start: %w\n%s", err, log)
	}
	return nil
}

// awaitAnswer returns once the process answers on the port. It compares the process
// id, since a server that somebody else has started may have the port.
func (s *RedisServer) awaitAnswer() error {
	c := redis.NewClient(&redis.Options{
		Addr: s.Addr(), Protocol: 2, DisableIdentity: true, Password: s.pass, MaxRetries: -1, DialerRetries: 1,
	})
	defer c.Close()
	mine := fmt.Sprintf("process_id:%d\r\n", s.process.cmd.Process.Pid)
	return s.process.await(startTimeout, func(ctx context.Context) error {
		conn, err := net.Dial("tcp", s.Addr()) // go-redis would log each failure
		if err != nil {
			return err
		}
		_ = conn.Close()
		info, err := c.Info(ctx, "server").Result()
		if err == nil && !strings.Contains(info, mine) {
			err = errors.New("another server has the port")
		}
		return err
	})
}

func (s *RedisServer) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.signal(sig); err != nil {
		s.t.Fatalf("broker: %v: redis-server: %v", sig, err)
	}
}

func (s *RedisServer) wait() {
	<-s.process.ended
	s.process = nil
}

func (s *RedisServer) end() {
	s.process.kill()
	s.process = nil
}

func (s *RedisServer) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("broker: %v", err)
	}
}
