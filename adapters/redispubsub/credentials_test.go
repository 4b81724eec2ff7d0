package redispubsub_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

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
				log := &driverkit.Log{}
				bus := transport.New(open(t, "redis://node:right@"+s.Addr()+query), transport.Config{
					RetryMax: 100 * time.Millisecond, Logger: log.Logger(), NoNumbers: true,
				})
				sub := driverkit.Subscribe(t, bus, "t")
				publish := func(body string) error { return bus.Publish("t", driverkit.Raw(body)) }
				if err := publish("first"); err != nil {
					t.Fatal(err)
				}
				if got := sub.Next(t); got != "first" {
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
				if !c.writes && !log.Contains("publishing failed") {
					t.Error("a refusal to publish is not in the log")
				}
				if !c.reads {
					driverkit.Poll(t, func() bool { return log.Contains("nobody hears this topic", c.explains) })
				}
				do(everything...)
				if c.reads {
					for range 20 {
						if got := sub.Next(t); got != "foreign" {
							t.Fatalf("got %q", got)
						}
					}
				} else if got := sub.Next(t); got != "gap" {
					t.Fatalf("got %q instead of a gap", got)
				}
				if err := publish("last"); err != nil {
					t.Fatal(err)
				}
				if got := sub.Next(t); got != "last" {
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
		errs := open(t, "redis://"+login+s.Addr()).Publish(t.Context(), driverkit.Outgoing("t", message.NewMessage("1", nil), message.NewMessage("2", nil)))
		if len(errs) != 2 || !errors.Is(errs[0], domain.ErrBusRefused) || !errors.Is(errs[1], domain.ErrBusRefused) {
			t.Errorf("%q: %v", login, errs)
		}
	}
}
