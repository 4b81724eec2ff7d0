package redispubsub_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
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

func (l *logbook) holds(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		found := true
		for _, w := range words {
			found = found && strings.Contains(line, w)
		}
		if found {
			return true
		}
	}
	return false
}

// hears subscribes and sends what comes: bodies, and "gap" for each break.
func hears(t *testing.T, bus *transport.Transport) <-chan string {
	t.Helper()
	batches, err := bus.Batches().Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range batches {
			entries, _ := domain.EntriesFrom(m.Context())
			for _, e := range entries {
				switch e.Kind {
				case domain.Record:
					heard <- string(e.Body)
				case domain.Gap:
					heard <- "gap"
				}
			}
			m.Ack()
		}
	}()
	t.Cleanup(func() { _ = bus.Close(); <-done })
	return heard
}

func next(t *testing.T, heard <-chan string) string {
	t.Helper()
	select {
	case s := <-heard:
		return s
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		return ""
	}
}

// Whatever becomes of a node's login while it runs: what it publishes is refused,
// the log says why, and who was cut off is told a gap.
func TestCredentialsThatChangeOnARunningNodeAreAGapAtMost(t *testing.T) {
	everything := []any{"ACL", "SETUSER", "node", "reset", "on", ">right", "~*", "&*", "+@all"}
	for _, c := range []struct {
		name          string
		worsen        [][]any
		writes, reads bool // still
		explains      string
	}{
		{"the user is deleted", [][]any{{"ACL", "DELUSER", "node"}}, false, false, "WRONGPASS"},
		{"the password changes", [][]any{{"ACL", "SETUSER", "node", "resetpass", ">other"}, {"CLIENT", "KILL", "USER", "node"}},
			false, false, "WRONGPASS"},
		{"the user has no channels", [][]any{{"ACL", "SETUSER", "node", "resetchannels"}}, false, false, "NOPERM"},
		{"the user may not write", [][]any{{"ACL", "SETUSER", "node", "-publish"}}, false, true, "NOPERM"},
		{"the user may not read", [][]any{{"ACL", "SETUSER", "node", "-subscribe"}, {"CLIENT", "KILL", "TYPE", "pubsub"}}, true, false, "NOPERM"},
	} {
		for _, query := range []string{"?read_connections=16", shared} {
			t.Run(c.name+query, func(t *testing.T) {
				t.Parallel()
				s := broker.Redis(t)
				do := func(args ...any) {
					t.Helper()
					if err := s.Client().Do(t.Context(), args...).Err(); err != nil {
						t.Fatal(err)
					}
				}
				do(everything...)
				log := &logbook{}
				bus := transport.New(open(t, "redis://node:right@"+s.Addr()+query), transport.Config{
					RetryMax: 100 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil)), NoNumbers: true,
				})
				heard := hears(t, bus)
				publish := func(body string) error { return bus.Publish("t", raw(body)) }
				if err := publish("first"); err != nil {
					t.Fatal(err)
				}
				if got := next(t, heard); got != "first" {
					t.Fatal(got)
				}
				for _, command := range c.worsen {
					do(command...)
				}
				for i := range 20 {
					switch err := publish(fmt.Sprint(i)); {
					case (err == nil) != c.writes:
						t.Fatalf("publish %d: %v", i, err)
					case err != nil && !errors.Is(err, domain.ErrBusDown):
						t.Fatal(err)
					}
					do("PUBLISH", "t", "foreign")
				}
				if !c.writes && !log.holds("publishing failed") {
					t.Error("a refusal to publish is not in the log")
				}
				if !c.reads {
					poll(t, func() bool { return log.holds("nobody hears this topic", c.explains) })
				}
				do(everything...)
				if c.reads {
					for range 20 {
						if got := next(t, heard); got != "foreign" {
							t.Fatalf("got %q", got)
						}
					}
				} else if got := next(t, heard); got != "gap" {
					t.Fatalf("got %q instead of a gap", got)
				}
				if err := publish("last"); err != nil {
					t.Fatal(err)
				}
				if got := next(t, heard); got != "last" {
					t.Errorf("got %q", got)
				}
			})
		}
	}
}

// A login that never was good is an error of every message.
func TestAWrongPasswordPublishesNothing(t *testing.T) {
	s := broker.Redis(t, "--requirepass", "right")
	for _, login := range []string{"", ":wrong@", "nobody:right@"} {
		errs := open(t, "redis://"+login+s.Addr()).Publish(t.Context(), on("t", message.NewMessage("1", nil), message.NewMessage("2", nil)))
		if len(errs) != 2 || !errors.Is(errs[0], domain.ErrBusRefused) || !errors.Is(errs[1], domain.ErrBusRefused) {
			t.Errorf("%q: %v", login, errs)
		}
	}
}
