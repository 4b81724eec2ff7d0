package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// rabbitStart bounds how long RabbitMQ may take to start, which is slow.
const rabbitStart = 90 * time.Second

// rabbitScript is where distributions install the script that does not change the
// user.
const rabbitScript = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// A RabbitServer is a rabbitmq-server process that belongs to one test, with an
// epmd of its own.
type RabbitServer struct {
	t       testing.TB
	dir     string
	port    int
	epmd    *process
	process *process
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
	s := &RabbitServer{t: t, dir: t.TempDir(), port: freeport.Port(t)}
	epmdPort, distPort := freeport.Port(t), freeport.Port(t)
	t.Cleanup(s.end)
	if err := s.start(epmdPort, distPort); err != nil {
		t.Fatalf("broker: rabbitmq: %v", err)
	}
	return s
}

// Addr returns the server's host:port.
func (s *RabbitServer) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// start starts an epmd and the server. Erlang nodes talk to each other on distPort.
func (s *RabbitServer) start(epmdPort, distPort int) error {
	env := append(os.Environ(), "HOME="+s.dir, fmt.Sprint("ERL_EPMD_PORT=", epmdPort), "ERL_EPMD_ADDRESS=127.0.0.1")
	epmd := exec.Command("epmd") // started here, since the server would leave its own behind
	epmd.Env = env
	var err error
	if s.epmd, err = launch(epmd); err != nil {
		return err
	}
	if err := s.epmd.await(startTimeout, greeter(fmt.Sprint("127.0.0.1:", epmdPort), "")); err != nil {
		return fmt.Errorf("epmd: %w", err)
	}
	conf := filepath.Join(s.dir, "rabbitmq.conf")
	plugins := filepath.Join(s.dir, "enabled_plugins")
	err = errors.Join(
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
	cmd := exec.Command(rabbitScript)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(env,
		"RUNNING_UNDER_SYSTEMD=true", // one process, not a shell around it
		fmt.Sprintf("RABBITMQ_NODENAME=fanfare%d@localhost", s.port),
		fmt.Sprint("RABBITMQ_DIST_PORT=", distPort),
		"RABBITMQ_CONFIG_FILE="+conf,
		"RABBITMQ_CONF_ENV_FILE="+filepath.Join(s.dir, "none.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+plugins,
		"RABBITMQ_MNESIA_BASE="+filepath.Join(s.dir, "mnesia"),
		"RABBITMQ_LOG_BASE="+filepath.Join(s.dir, "log"),
		"RABBITMQ_PID_FILE="+filepath.Join(s.dir, "pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +sbwt none")
	if s.process, err = launch(cmd); err != nil {
		return err
	}
	if err := s.process.await(rabbitStart, greeter(s.Addr(), "AMQP\x00\x00\x09\x01")); err != nil {
		out, _ := os.ReadFile(filepath.Join(s.dir, "out"))
		return fmt.Errorf("it did not start: %w\n%s", err, out)
	}
	return nil
}

// greeter returns a function that returns an error unless the address accepts connections
// and, if there is a greeting, answers it.
func greeter(addr, greeting string) func(context.Context) error {
	return func(context.Context) error { return greet(addr, greeting) }
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

// end kills the server's process group and epmd, and waits for both.
func (s *RabbitServer) end() {
	if s.process != nil {
		_ = syscall.Kill(-s.process.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		<-s.process.ended
	}
	s.epmd.kill()
}
