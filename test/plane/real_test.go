package plane_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/test/broker"
)

// startReal runs a node on a real bus, with heartbeats that are short.
func startReal(t *testing.T, url, name string) *node {
	t.Helper()
	n := &node{t: t, logs: &logs{}, end: make(chan struct{}), ran: make(chan struct{})}
	bus, err := fanfare.Openers().Open(t.Context(), url, transport.Config{})
	if err != nil {
		t.Fatal(err)
	}
	n.own = bus
	n.begin([]plane.Bus{bus}, n, bus.Guarantees().Log, name, echoing, func(c *plane.Config) {
		c.Control.Heartbeat, c.Control.DeadAfter = 300*time.Millisecond, time.Minute
	})
	return n
}

// eventually waits until something is so, for a minute.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	over := time.NewTimer(time.Minute)
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestAllNodesAnswerOnRealBuses(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) string{
		"redis-streams": func(t *testing.T) string { return broker.Redis(t).URL("redis-streams") },
		"redis":         func(t *testing.T) string { return broker.Redis(t).URL("redis") },
		"jetstream":     func(t *testing.T) string { return broker.NATS(t).URL("jetstream") },
		"nats":          func(t *testing.T) string { return broker.NATS(t).URL("nats") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := open(t)
			nodes := []*node{startReal(t, url, "n1"), startReal(t, url, "n2"), startReal(t, url, "n3")}
			for i := range 10 {
				asker := nodes[i%len(nodes)]
				want := fmt.Sprintf(`n1: ["n1",%d]; n2: ["n2",%d]; n3: ["n3",%d]; silent: [], complete: true`, i, i, i)
				var got string
				eventually(t, want, func() bool {
					got, _ = asker.ask("echo", fmt.Sprint(i))
					return got == want
				})
			}
		})
	}
}
