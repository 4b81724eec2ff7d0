package redispubsub_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/conformance"
)

func TestConformance(t *testing.T) { conform(t, "") }

func TestConformanceOnSharedConnections(t *testing.T) { conform(t, shared) }

func conform(t *testing.T, params string) {
	s := broker.Redis(t)
	p := broker.NewProxy(t, s.Addr())
	conformance.Run(t, conformance.Harness{
		Name: "redis",
		Open: func(t testing.TB) transport.Driver { return open(t, p.URL("redis")+params) },
		Cut:  p.Cut, Mend: p.Mend,
		Freeze: p.Swallow, Thaw: p.Pass,
		Deafen:     func() { p.SwallowWho("SUBSCRIBE") },
		Poison:     func(_ testing.TB, topic string) { s.CLI("PUBLISH", topic, `{"_watermill_message_uuid":7}`) },
		Goroutines: broker.Goroutines,
	})
}
