package redisstream_test

import (
	"fmt"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/conformance"
)

func TestConformanceOnACluster(t *testing.T) { conformOnCluster(t, "") }

func conformOnCluster(t *testing.T, params string) {
	c := broker.NewRedisCluster(t, 3).Proxied()
	each := func(do func(*broker.Proxy)) func() { return func() { c.Proxies(do) } }
	conformance.Run(t, conformance.Harness{
		Name: "redis-streams on a cluster",
		Open: func(t testing.TB) transport.Driver { return open(t, c.URL("redis-streams")+params) },
		Cut:  each((*broker.Proxy).Cut), Mend: each((*broker.Proxy).Mend),
		Freeze: each((*broker.Proxy).Swallow), Thaw: each((*broker.Proxy).Pass),
		Deafen:   each(func(p *broker.Proxy) { p.SwallowWho("XREAD") }),
		Trim:     func(_ testing.TB, topic string, keep int) { c.CLI("XTRIM", topic, "MAXLEN", fmt.Sprint(keep)) },
		Recreate: func(_ testing.TB, topic string) { c.CLI("DEL", topic) },
		Poison: func(_ testing.TB, topic string) {
			c.CLI("XADD", topic, "*", "_watermill_message_uuid", "u", "metadata", "\xc1 no msgpack", "payload", "x")
		},
		Goroutines: broker.ProxyGoroutines,
	})
}
