package redisstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A logbook keeps what is logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// lines returns those that contain all the words.
func (l *logbook) lines(words ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		matches := true
		for _, w := range words {
			matches = matches && strings.Contains(line, w)
		}
		if matches {
			found = append(found, line)
		}
	}
	return found
}

func (l *logbook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// A station is a node's bus whose subscription is heard to the end.
type station struct {
	bus *transport.Transport
	log logbook

	mu     sync.Mutex
	bodies []string // guarded by mu
	gaps   int      // guarded by mu
}

// tune opens a bus as a user and follows the topic t.
func tune(t *testing.T, d transport.Driver) *station {
	t.Helper()
	s := &station{}
	s.bus = transport.New(d, transport.Config{RetryMax: 100 * time.Millisecond, Logger: s.log.logger()})
	batches, err := s.bus.Batches().Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range batches {
			entries, _ := domain.EntriesFrom(m.Context())
			s.mu.Lock()
			for _, e := range entries {
				switch e.Kind {
				case domain.Record:
					s.bodies = append(s.bodies, string(e.Body))
				case domain.Gap:
					s.gaps++
				}
			}
			s.mu.Unlock()
			m.Ack()
		}
	}()
	t.Cleanup(func() { _ = s.bus.Close(); <-done })
	return s
}

func (s *station) heard() (bodies []string, gaps int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.bodies...), s.gaps
}

func (s *station) publish(body string) error {
	return s.bus.Publish("t", message.NewMessage(body, []byte(body)))
}

// acl changes a user as an operator does.
func (k kit) acl(args ...any) {
	k.t.Helper()
	k.must(k.c.Do(k.t.Context(), append([]any{"ACL"}, args...)...).Err())
}

// Whatever becomes of a node's login while it runs: what it publishes is refused
// and not lost, the log says why, and who reads on afterwards has missed nothing.
func TestCredentialsThatChangeOnARunningNodeLoseNothing(t *testing.T) {
	everything := []any{"SETUSER", "node", "reset", "on", ">right", "~*", "&*", "+@all"}
	for _, c := range []struct {
		name     string
		worsen   func(k kit)
		writes   bool // still
		reads    bool
		explains string // what the log says
	}{
		{"the user is deleted", func(k kit) { k.acl("DELUSER", "node") }, false, false, "WRONGPASS"},
		{"the password changes", func(k kit) {
			k.acl("SETUSER", "node", "resetpass", ">other")
			k.must(k.c.Do(k.t.Context(), "CLIENT", "KILL", "USER", "node").Err())
		}, false, false, "WRONGPASS"},
		{"the user may do nothing", func(k kit) { k.acl("SETUSER", "node", "-@all") }, false, false, "NOPERM"},
		{"the user has no keys", func(k kit) { k.acl("SETUSER", "node", "resetkeys") }, false, false, "NOPERM"},
		{"the user may not write", func(k kit) { k.acl("SETUSER", "node", "-xadd") }, false, true, "NOPERM"},
		{"the user may read keys only", func(k kit) { k.acl("SETUSER", "node", "resetkeys", "%R~*") }, false, true, "NOPERM"},
		{"the user may not read", func(k kit) { k.acl("SETUSER", "node", "-xread", "-xrange") }, true, false, "NOPERM"},
		{"the user may write keys only", func(k kit) { k.acl("SETUSER", "node", "resetkeys", "%W~*") }, true, false, "NOPERM"},
	} {
		for _, query := range []string{"?read_connections=16", "?read_connections=0"} {
			t.Run(c.name+query, func(t *testing.T) {
				t.Parallel()
				k := newKit(t)
				k.acl(everything...)
				s := tune(t, open(t, "redis-streams://node:right@"+k.Addr()+"/0"+query))
				k.must(s.publish("first"))
				want := []string{"first"}
				poll(t, func() bool { bodies, _ := s.heard(); return len(bodies) == 1 })

				c.worsen(k)
				for i := range 20 {
					own, foreign := fmt.Sprintf("own %d", i), fmt.Sprintf("foreign %d", i)
					err := s.publish(own)
					switch {
					case err == nil && c.writes:
						want = append(want, own)
					case err == nil:
						t.Fatal("published without the right to it")
					case c.writes || !errors.Is(err, domain.ErrBusDown):
						t.Fatal(err)
					}
					k.must(k.c.Do(t.Context(), "XADD", "t", "*", "data", foreign).Err())
					want = append(want, foreign)
				}
				if c.reads {
					poll(t, func() bool { bodies, _ := s.heard(); return len(bodies) == len(want) })
				} else {
					poll(t, func() bool { return len(s.log.lines("nobody hears this topic", c.explains)) > 0 })
				}
				if refusals := s.log.lines("publishing failed"); (len(refusals) == 1) == c.writes {
					t.Errorf("refusals in the log: %q", refusals)
				}
				k.acl(everything...)
				poll(t, func() bool { return s.publish("last") == nil })
				poll(t, func() bool {
					bodies, _ := s.heard()
					return bodies[len(bodies)-1] == "last"
				})
				bodies, gaps := s.heard()
				k.want(append(want, "last"), bodies)
				if gaps != 0 {
					t.Errorf("%d gaps", gaps)
				}
				if n := len(s.log.lines("")); n > 12 {
					t.Errorf("%d lines in the log: %v", n, s.log.lines(""))
				}
			})
		}
	}
}

// An entry that the server refuses for whatever reason is refused here, and is
// not in the stream.
func TestEveryStateOfAServerThatRefusesIsARefusal(t *testing.T) {
	for _, c := range []struct {
		name, code string
		worsen     func(k kit)
	}{
		{"read-only replica", "READONLY", func(k kit) {
			k.CLI("REPLICAOF", "127.0.0.1", "1")
		}},
		{"out of memory", "OOM", func(k kit) { k.must(k.c.ConfigSet(k.t.Context(), "maxmemory", "1").Err()) }},
		{"too few replicas", "NOREPLICAS", func(k kit) {
			k.must(k.c.ConfigSet(k.t.Context(), "min-replicas-to-write", "1").Err())
		}},
		{"cannot save", "MISCONF", func(k kit) {
			k.must(k.c.ConfigSet(k.t.Context(), "save", "3600 1").Err())
			k.must(os.Mkdir(filepath.Join(k.Dir(), "dump.rdb"), 0o700)) // where the file should go
			_ = k.c.BgSave(k.t.Context()).Err()
			poll(k.t, func() bool { return strings.Contains(k.CLI("INFO", "persistence"), "rdb_last_bgsave_status:err") })
		}},
		{"no stream", "WRONGTYPE", func(k kit) {
			k.must(k.c.Del(k.t.Context(), "t").Err())
			k.must(k.c.Set(k.t.Context(), "t", "x", 0).Err())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t)
			s := tune(t, k.d)
			k.must(s.publish("first"))
			c.worsen(k)
			for range 3 {
				err := s.publish("more")
				var p *domain.PublishError
				if !errors.Is(err, domain.ErrBusRefused) || !errors.Is(err, domain.ErrBusDown) || !strings.Contains(err.Error(), c.code) {
					t.Fatalf("want a refusal for %s: %v", c.code, err)
				}
				if full := errors.Is(err, domain.ErrBusFull); full != (c.code == "OOM") {
					t.Errorf("full %v: %v", full, err)
				}
				if !errors.As(err, &p) || !p.Refused {
					t.Errorf("a refusal is not certain: %v", err)
				}
			}
			if n := len(s.log.lines("publishing failed", c.code)); n != 1 {
				t.Errorf("%d lines in the log", n)
			}
			if c.code == "WRONGTYPE" { // one topic that cannot be followed is told
				poll(t, func() bool { return len(s.log.lines("nobody hears this topic", "topic=t", c.code)) == 1 })
			}
		})
	}
}
