package jetstream_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
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
			conf := func(user string) { write(t, file, "authorization { users: ["+admin+"\n"+user+"] }") }
			conf(`{user: u, password: p}`)
			s := broker.NATS(t, "--config", file)
			bus := transport.New(open(t, "jetstream://u:p@"+s.Addr()), transport.Config{})
			defer bus.Close()
			foreign := open(t, "jetstream://all:p@"+s.Addr())
			add := func(first, last int) {
				t.Helper()
				for i := first; i <= last; i++ {
					if err := errors.Join(foreign.Publish(t.Context(), on("t", raw(fmt.Sprint(i))))...); err != nil {
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
							if e.Kind == domain.Break {
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
			go func() { defer close(end); poll(t, func() bool { return bus.Stats().Interruptions > 0 }) }()
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
