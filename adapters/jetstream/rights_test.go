package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// A node whose user loses its rights hears nothing for a while. When it has them
// back it goes on where it was: nothing is lost, and nobody is told a gap.
func TestAReaderThatLosesItsRightsGoesOnWhereItWas(t *testing.T) {
	const admin = `{user: all, password: p}`
	for name, node := range map[string]string{
		"no such user":      ``,
		"another password":  `{user: u, password: q}`,
		"may use no API":    `{user: u, password: p, permissions: {publish: {deny: ["$JS.>"]}}}`,
		"may not pull":      `{user: u, password: p, permissions: {publish: {deny: ["$JS.API.CONSUMER.MSG.NEXT.>"]}}}`,
		"may hear no inbox": `{user: u, password: p, permissions: {subscribe: {deny: ["_INBOX.>"]}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "nats.conf")
			conf := func(user string) { driverkit.WriteFile(t, file, "authorization { users: ["+admin+"\n"+user+"] }") }
			conf(`{user: u, password: p}`)
			s := broker.NATS(t, "--config", file)
			bus := transport.New(open(t, "jetstream://u:p@"+s.Addr()), transport.Config{})
			defer bus.Close()
			foreign := open(t, "jetstream://all:p@"+s.Addr())
			add := func(first, last int) {
				t.Helper()
				for i := first; i <= last; i++ {
					if err := errors.Join(foreign.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw(fmt.Sprint(i))))...); err != nil {
						t.Fatal(err)
					}
				}
			}
			in, err := bus.Subscribe(t.Context(), "t")
			if err != nil {
				t.Fatal(err)
			}
			next := 1
			hear := func(last int) {
				t.Helper()
				for next <= last {
					select {
					case m := <-in:
						entries, _ := domain.EntriesFrom(m.Context())
						for _, e := range entries {
							if e.Kind == domain.Gap {
								t.Fatalf("a gap before %d: %+v", next, e)
							}
						}
						if got := string(m.Payload); got == fmt.Sprint(next) {
							next++
						} else if got != "" {
							t.Fatalf("%q came, and not %d", got, next)
						}
						m.Ack()
					case <-time.After(30 * time.Second):
						t.Fatalf("%d did not come", next)
					}
				}
			}
			add(1, 3)
			hear(3)
			conf(node)
			s.Reload()
			// What was asked for before still comes: more than that is needed for the
			// reader to be refused.
			const more = 4 * transport.BatchSize
			add(4, more)
			end := make(chan struct{})
			go func() { defer close(end); driverkit.Poll(t, func() bool { return bus.Stats().Interruptions > 0 }) }()
			for over := false; !over; {
				select {
				case m := <-in:
					if got := string(m.Payload); got != fmt.Sprint(next) {
						t.Fatalf("%q came, and not %d", got, next)
					}
					next++
					m.Ack()
				case <-end:
					over = true
				}
			}
			if next > more {
				t.Fatal("nothing was refused: that tests nothing")
			}
			add(more+1, more+9)
			conf(`{user: u, password: p}`)
			s.Reload()
			hear(more + 9)
		})
	}
}

// Credentials that change on a running node: whoever publishes is refused, and
// once they are good again all goes on.
func TestRightsThatAreTakenAwayAndGivenBack(t *testing.T) {
	const good = `authorization { users: [{user: u, password: p}] }`
	for name, c := range map[string]struct{ conf, text string }{
		"may not publish":   {`authorization { users: [{user: u, password: p, permissions: {publish: {deny: ["t"]}}}] }`, "Permissions Violation"},
		"another password":  {`authorization { users: [{user: u, password: q}] }`, "does not accept the URL's user"},
		"no such user":      {`authorization { users: [{user: v, password: p}] }`, "does not accept the URL's user"},
		"may use no API":    {`authorization { users: [{user: u, password: p, permissions: {publish: {deny: ["$JS.>", "t"]}}}] }`, "Permissions Violation"},
		"may hear no inbox": {`authorization { users: [{user: u, password: p, permissions: {subscribe: {deny: ["_INBOX.>"]}}}] }`, "may not subscribe to answers"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "nats.conf")
			driverkit.WriteFile(t, file, good)
			s := broker.NATS(t, "--config", file)
			d, _ := openLogged(t, "jetstream://u:p@"+s.Addr())
			taken := 0
			publish := func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
				defer cancel()
				errs := d.Publish(ctx, driverkit.Outgoing("t", driverkit.Raw(fmt.Sprint(taken+1))))
				if errs == nil {
					taken++
				}
				return errors.Join(errs...)
			}
			driverkit.Poll(t, func() bool { return publish() == nil })
			driverkit.WriteFile(t, file, c.conf)
			s.Reload()
			var err error
			driverkit.Poll(t, func() bool {
				err = publish()
				return driverkit.Says(err, c.text) && errors.Is(err, domain.ErrBusRefused)
			})
			if !errors.Is(err, domain.ErrBusDown) {
				t.Errorf("refused: %v", err)
			}
			t.Log(err)
			driverkit.WriteFile(t, file, good)
			s.Reload()
			driverkit.Poll(t, func() bool { return publish() == nil })
			// What was taken is there: each number once, or more often where the
			// outcome was unknown.
			f, err := d.Follow(t.Context(), "t", at(0))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for last := 0; last < taken; {
				batch, err := f.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range batch {
					if body := string(e.Body); body == fmt.Sprint(last+1) {
						last++
					} else if body != fmt.Sprint(last) {
						t.Fatalf("%s came after %d", body, last)
					}
				}
			}
		})
	}
}
