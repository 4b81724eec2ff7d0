package broker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// rabbitStart bounds how long RabbitMQ may take to start, which is slow.
const rabbitStart = 90 * time.Second

// rabbitScript is where distributions install the script that does not change the
// user.
const rabbitScript = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// A RabbitServer is a rabbitmq-server process that belongs to one test, with an
// epmd of its own.
type RabbitServer struct {
	t    testing.TB
	dir  string
	port int
	epmd *exec.Cmd
	cmd  *exec.Cmd
}

// HasRabbit reports whether RabbitMQ is installed.
func HasRabbit() bool {
	_, noEpmd := exec.LookPath("epmd")
	_, err := os.Stat(rabbitScript)
	return err == nil && noEpmd == nil
}

// Rabbit starts a RabbitMQ and returns once it answers. It is stopped when the
// test ends.
func Rabbit(t testing.TB) *RabbitServer {
	t.Helper()
	skipIfShort(t)
	s := &RabbitServer{t: t, dir: t.TempDir(), port: FreePort(t)}
	t.Cleanup(s.end)
	if err := s.start(); err != nil {
		t.Fatalf("broker: rabbitmq: %v", err)
	}
	return s
}

// Addr returns the server's host:port.
func (s *RabbitServer) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *RabbitServer) start() error {
	epmdPort := FreePort(s.t)
	env := append(os.Environ(), "HOME="+s.dir, fmt.Sprint("ERL_EPMD_PORT=", epmdPort), "ERL_EPMD_ADDRESS=127.0.0.1")
	s.epmd = exec.Command("epmd") // started here, since the server would leave its own behind
	s.epmd.Env = env
	if err := s.epmd.Start(); err != nil {
		return err
	}
	if err := answering(fmt.Sprint("127.0.0.1:", epmdPort), "", time.Now().Add(startTimeout), nil); err != nil {
		return fmt.Errorf("epmd: %w", err)
	}
	conf := filepath.Join(s.dir, "rabbitmq.conf")
	plugins := filepath.Join(s.dir, "enabled_plugins")
	err := errors.Join(
		os.WriteFile(conf, fmt.Appendf(nil, "listeners.tcp.1 = %s\n", s.Addr()), 0o600),
		os.WriteFile(plugins, []byte("[].\n"), 0o600))
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "out"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(rabbitScript)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Env = append(env,
		"RUNNING_UNDER_SYSTEMD=true", // one process, not a shell around it
		fmt.Sprintf("RABBITMQ_NODENAME=fanfare%d@localhost", s.port),
		fmt.Sprint("RABBITMQ_DIST_PORT=", FreePort(s.t)),
		"RABBITMQ_CONFIG_FILE="+conf,
		"RABBITMQ_CONF_ENV_FILE="+filepath.Join(s.dir, "none.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+plugins,
		"RABBITMQ_MNESIA_BASE="+filepath.Join(s.dir, "mnesia"),
		"RABBITMQ_LOG_BASE="+filepath.Join(s.dir, "log"),
		"RABBITMQ_PID_FILE="+filepath.Join(s.dir, "pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +sbwt none")
	if err := s.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // the error says that a signal has ended it
		close(exited)
	}()
	s.t.Cleanup(func() { s.kill(exited) })
	if err := answering(s.Addr(), "AMQP\x00\x00\x09\x01", time.Now().Add(rabbitStart), exited); err != nil {
		out, _ := os.ReadFile(filepath.Join(s.dir, "out"))
		return fmt.Errorf("it did not start: %w\n%s", err, out)
	}
	return nil
}

// answering returns once the address accepts connections and, if there is a
// greeting, answers it.
func answering(addr, greeting string, end time.Time, exited <-chan struct{}) error {
	for {
		err := greet(addr, greeting)
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return err
		}
		select {
		case <-exited:
			return errors.New("the process ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func greet(addr, greeting string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil || greeting == "" {
		if conn != nil {
			_ = conn.Close()
		}
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Write([]byte(greeting)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// kill kills the server's process group, and waits for the server.
func (s *RabbitServer) kill(exited <-chan struct{}) {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-exited
}

func (s *RabbitServer) end() {
	if s.epmd != nil && s.epmd.Process != nil {
		_ = s.epmd.Process.Kill()
		_ = s.epmd.Wait()
	}
}
