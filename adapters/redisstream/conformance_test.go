package redisstream_test

import (
	"fmt"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/conformance"
)

func TestConformance(t *testing.T) { conform(t, "") }

func TestConformanceOnSharedConnections(t *testing.T) { conform(t, "?read_connections=0") }

func conform(t *testing.T, params string) {
	s := broker.Redis(t)
	p := broker.NewProxy(t, s.Addr())
	conformance.Run(t, conformance.Harness{
		Name: "redis-streams",
		Open: func(t testing.TB) transport.Driver { return open(t, p.URL("redis-streams")+params) },
		Cut:  p.Cut, Mend: p.Mend,
		Freeze: p.Swallow, Thaw: p.Pass,
		Deafen:   func() { p.SwallowWho("XREAD") },
		Trim:     func(_ testing.TB, topic string, keep int) { s.CLI("XTRIM", topic, "MAXLEN", fmt.Sprint(keep)) },
		Recreate: func(_ testing.TB, topic string) { s.CLI("DEL", topic) },
		Poison: func(_ testing.TB, topic string) {
			s.CLI("XADD", topic, "*", "_watermill_message_uuid", "u", "metadata", "\xc1 no msgpack", "payload", "x")
		},
		Goroutines: broker.Goroutines,
	})
}
