package broker

import (
	"net"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// A broker that ends at once is not waited for: the error says how it ended, and what it
// has written, and not that time has run out.
func TestABrokerThatEndsAtOnceIsNotWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		start func(t *testing.T) error
		says  []string
	}{
		"redis, wrong argument": {func(t *testing.T) error {
			return Redis(t).another("--no-such-argument", "1").start()
		}, []string{"redis-server did not start", "it has ended: exit status 1"}},
		"redis, port taken": {func(t *testing.T) error {
			s := Redis(t)
			other := s.another()
			other.port = s.port
			return other.start()
		}, []string{"redis-server did not start", "it has ended: exit status 1", "Address already in use"}},
		"nats": {func(t *testing.T) error {
			s := &NATSServer{t: t, dir: t.TempDir(), port: NATS(t).port}
			t.Cleanup(s.end)
			return s.start()
		}, []string{"nats-server did not start", "it has ended: exit status 1", "address already in use"}},
		"kafka": {func(t *testing.T) error {
			p, err := newKafka(needsKafka(t), t.TempDir(), []string{"num.io.threads=none"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.close)
			return p.start()
		}, []string{"kafka did not start", "it has ended: exit status 1", "num.io.threads"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.start(t)
			if err == nil {
				t.Fatal("it started")
			}
			for _, want := range test.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: want %q", err, want)
				}
			}
		})
	}
}

// another returns a server that has not started.
func (s *RedisServer) another(args ...string) *RedisServer {
	other := &RedisServer{t: s.t, dir: s.t.TempDir(), port: freeport.Port(s.t), args: args}
	s.t.Cleanup(other.end)
	return other
}

// A port stays the server's while it is down: nobody else gets it before the restart.
func TestAPortStaysReservedWhileItsServerIsDown(t *testing.T) {
	s := Redis(t)
	s.Stop()
	if s.process.running() {
		t.Fatal("it runs")
	}
	if c, err := net.ListenPacket("udp", s.Addr()); err == nil { // what freeport reserves with
		_ = c.Close()
		t.Errorf("nothing reserves %s", s.Addr())
	}
	s.Restart()
	if got := s.CLI("PING"); got != "PONG" {
		t.Errorf("after the restart: %s", got)
	}
}

// A server that has ended by itself can be started again, and is not signalled.
func TestAServerThatHasEndedByItself(t *testing.T) {
	s := Redis(t)
	if err := s.process.cmd.Process.Kill(); err != nil { // not by s.Kill
		t.Fatal(err)
	}
	<-s.process.ended
	if err := s.process.signal(0); err == nil {
		t.Error("a server that has ended was signalled")
	}
	s.Restart()
	if got := s.CLI("PING"); got != "PONG" {
		t.Errorf("after the restart: %s", got)
	}
}
