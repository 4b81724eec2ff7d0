package redisstream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// puts publishes until that succeeds, and returns where the log has the message.
func puts(t *testing.T, d transport.Driver, topic string) transport.Stored {
	t.Helper()
	records := driverkit.Outgoing(topic, message.NewMessage("", nil))
	driverkit.Poll(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		return errors.Join(d.Publish(ctx, records)...) == nil
	})
	return records[0].Stored
}

// A process that only publishes asks a cluster's master once which log it has, and again
// when another master has taken over. It says what nodes say that follow the topic.
func TestPublisherKnowsTheLogOfAClustersTopic(t *testing.T) {
	t.Parallel()
	c := broker.NewRedisCluster(t, 3)
	const topic = "fanfare.orders"
	publisher, node := open(t, c.URL("redis-streams")), open(t, c.URL("redis-streams"))
	old := driverkit.Follow(t, node, topic, "").Log()
	for range 3 {
		if at := puts(t, publisher, topic); at.At.Log != old || at.Time.IsZero() {
			t.Fatalf("a message is at %+v, of log %x", at, old)
		}
	}
	lose(t, c, topic, func() {})
	at := puts(t, publisher, topic).At
	var f transport.Feed
	driverkit.Poll(t, func() (ok bool) { // until the node knows the new master
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var err error
		f, err = node.Follow(ctx, topic, "")
		return err == nil
	})
	defer f.Close()
	if at.Log != f.Log() || at.Log == old {
		t.Errorf("after the failover a message is in log %x; want %x, after %x", at.Log, f.Log(), old)
	}
}

// A user who may not ask for the master's history publishes all the same.
func TestPublisherThatMayNotAskSaysNothing(t *testing.T) {
	t.Parallel()
	c := broker.NewRedisCluster(t, 3)
	const topic = "fanfare.orders"
	c.Master(topic).CLI("ACL", "SETUSER", "default", "-info")
	if at := puts(t, open(t, c.URL("redis-streams")), topic); at != (transport.Stored{}) {
		t.Errorf("a message is at %+v", at)
	}
}

// Records that a server refuses have no location, and do not shift those of others.
func TestRecordsThatAreRefusedAreNowhere(t *testing.T) {
	k := newKit(t)
	k.must(k.c.Set(t.Context(), "other", "no stream", 0).Err())
	records := driverkit.Outgoing("t", driverkit.Raw("1"), driverkit.Raw("2"), driverkit.Raw("3"))
	records[1].Topic = "other"
	errs := k.d.Publish(t.Context(), records)
	if len(errs) != 3 || errs[0] != nil || errs[1] == nil || errs[2] != nil || records[1].Stored != (transport.Stored{}) {
		t.Fatalf("%v; the refused one is at %+v", errs, records[1].Stored)
	}
	f := k.follow(domain.Position(make([]byte, 16)))
	for i, e := range k.read(f, 2) {
		if at := records[2*i].At; at != (domain.Location{Log: f.Log(), Position: e.Position}) || !records[2*i].Time.Equal(e.Time) {
			t.Errorf("message %d is at %x and said to be at %x", 2*i+1, string(e.Position), string(at.Position))
		}
	}
}
