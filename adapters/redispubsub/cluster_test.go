package redispubsub_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/conformance"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// Frozen servers are left out, since these cases take long, and a feed on a cluster
// notices them as one on a single server does.
func TestConformanceOnACluster(t *testing.T) {
	c := broker.NewRedisCluster(t, 3).Proxied()
	for _, params := range []string{"", "&read_connections=0"} {
		t.Run("cluster=true"+params, func(t *testing.T) {
			conformance.Run(t, conformance.Harness{
				Name: "redis on a cluster",
				Open: func(t testing.TB) transport.Driver { return open(t, c.URL("redis")+params) },
				Cut:  func() { c.Proxies((*broker.Proxy).Cut) },
				Mend: func() { c.Proxies((*broker.Proxy).Mend) },
				Poison: func(_ testing.TB, topic string) { // on this server, so that it comes before what is next
					c.Master(topic).CLI("PUBLISH", topic, `{"_watermill_message_uuid":7}`)
				},
				Goroutines: broker.Goroutines,
			})
		})
	}
}

// A server that has left the cluster goes on replying. Subscribers do not stay with it,
// nor do publishers, and whoever finds it first in the URL asks the next one.
func TestAServerIsRemoved(t *testing.T) {
	t.Parallel()
	c := broker.NewRedisCluster(t, 3)
	const topic = "fanfare.orders"
	removed := c.Master(topic)
	replica := c.Replica(removed)
	var followers []*driverkit.Subscriber
	for _, params := range []string{"", "&read_connections=0"} {
		d := open(t, c.URL("redis")+params)
		driverkit.Publish(t, d, topic, message.NewMessage("0", []byte("0")))
		bus := transport.New(d, transport.Config{RetryMin: time.Millisecond, RetryMax: 50 * time.Millisecond})
		followers = append(followers, driverkit.Subscribe(t, bus, topic))
	}
	publisher := open(t, c.URL("redis"))
	driverkit.Publish(t, publisher, topic, message.NewMessage("1", []byte("1")))
	c.Remove(topic, removed)
	for _, f := range followers {
		for f.Next(t) != driverkit.GapWord { // it comes behind what was published before
		}
	}
	late := open(t, "redis://"+removed.Addr()+","+replica.Addr()+"/0?cluster=true")
	driverkit.Publish(t, late, topic, message.NewMessage("2", []byte("2")))
	driverkit.Poll(t, func() bool {
		// It fails if the publisher notices only now.
		_ = publisher.Publish(t.Context(), driverkit.Outgoing(topic, message.NewMessage("3", []byte("3"))))
		for _, f := range followers {
			if bodies, _ := f.Received(); !slices.Contains(bodies, "2") || !slices.Contains(bodies, "3") {
				return false
			}
		}
		return true
	})
}

// Whoever publishes on whichever server is heard. When the topic's master is killed,
// subscribers are told a gap, and the topic goes on at another master.
func TestAFailover(t *testing.T) {
	c := broker.NewRedisCluster(t, 3)
	const topic = "fanfare.orders"
	c.SetUser("cluster-channels-node") // docs/operating.md lists its rights
	d := open(t, strings.Replace(c.URL("redis"), "://", "://cluster-channels-node:secret@", 1))
	bus := transport.New(d, transport.Config{RetryMin: time.Millisecond, RetryMax: 50 * time.Millisecond})
	follower := driverkit.Subscribe(t, bus, topic)
	for i, s := range c.Servers() {
		s.CLI("PUBLISH", topic, fmt.Sprint(i))
		if got := follower.Next(t); got != fmt.Sprint(i) {
			t.Fatalf("%s instead of %d", got, i)
		}
	}
	master := c.Master(topic)
	replica := c.Replica(master)
	master.Kill()
	c.AwaitMaster(topic, replica)
	if got := follower.Next(t); got != driverkit.GapWord {
		t.Fatalf("%s instead of a gap", got)
	}
	driverkit.Poll(t, func() bool {
		return errors.Join(d.Publish(t.Context(), driverkit.Outgoing(topic, message.NewMessage("1", []byte("again"))))...) == nil
	})
	if got := follower.Next(t); got != "again" {
		t.Fatalf("%s instead of what was published", got)
	}
}
