package redisstream_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/conformance"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestConformanceOnACluster(t *testing.T) {
	h, c := onCluster(t, "")
	h.Freeze, h.Thaw = eachProxy(c, (*broker.Proxy).Swallow), eachProxy(c, (*broker.Proxy).Pass)
	conformance.Run(t, h)
}

// Frozen servers are left out, since these cases take long and are the same for
// connections of a feed's own.
func TestConformanceOnSharedConnectionsOfACluster(t *testing.T) {
	h, _ := onCluster(t, "&read_connections=0")
	conformance.Run(t, h)
}

func onCluster(t *testing.T, params string) (conformance.Harness, *broker.RedisCluster) {
	c := broker.NewRedisCluster(t, 3).Proxied()
	return conformance.Harness{
		Name: "redis-streams on a cluster",
		Open: func(t testing.TB) transport.Driver { return open(t, c.URL("redis-streams")+params) },
		Cut:  eachProxy(c, (*broker.Proxy).Cut), Mend: eachProxy(c, (*broker.Proxy).Mend),
		Trim:     func(_ testing.TB, topic string, keep int) { c.CLI("XTRIM", topic, "MAXLEN", fmt.Sprint(keep)) },
		Recreate: func(_ testing.TB, topic string) { c.CLI("DEL", topic) },
		Poison: func(_ testing.TB, topic string) {
			c.CLI("XADD", topic, "*", "_watermill_message_uuid", "u", "metadata", "\xc1 no msgpack", "payload", "x")
		},
		Goroutines: broker.Goroutines,
	}, c
}

// eachProxy returns a function that does something to each proxy of a cluster.
func eachProxy(c *broker.RedisCluster, do func(*broker.Proxy)) func() {
	return func() { c.Proxies(do) }
}

// topicsOf returns a topic of each master of a cluster, by number.
func topicsOf(c *broker.RedisCluster, masters int) (topics []string) {
	var seen []*broker.RedisServer
	for i := 0; len(seen) < masters; i++ {
		topic := fmt.Sprintf("fanfare.t%d", i)
		if m := c.Master(topic); !slices.Contains(seen, m) {
			seen, topics = append(seen, m), append(topics, topic)
		}
	}
	return topics
}

// lose has the cluster confirm a write to a topic and then lose it: the topic's
// replica does not get it before the master is killed. It returns when the replica
// has taken over.
func lose(t *testing.T, c *broker.RedisCluster, topic string, write func()) {
	t.Helper()
	master := c.Master(topic)
	replica := c.Replica(master)
	replica.Freeze()
	master.CLI("CLIENT", "KILL", "TYPE", "REPLICA") // else the frozen one's socket would hold the write
	write()
	master.Kill()
	replica.Thaw()
	c.AwaitMaster(topic, replica)
}

// A write that was confirmed and that a failover then loses is a gap for a feed that has
// not read it, although the entry before it is still there.
func TestWhatAFailoverLosesIsAGap(t *testing.T) {
	t.Parallel()
	for name, params := range map[string]string{"own connection": "", "shared connection": "&read_connections=0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := broker.NewRedisCluster(t, 3)
			const topic = "fanfare.orders"
			d := open(t, c.URL("redis-streams")+params)
			f := driverkit.Follow(t, d, topic, "")
			driverkit.Publish(t, d, topic, message.NewMessage("0", nil))
			read := driverkit.ReadLog(t, f, 1)[0]
			_ = f.Close()

			bus := transport.New(d, transport.Config{})
			defer func() { _ = bus.Close() }()
			follower := driverkit.Subscribe(t, bus, topic)
			lose(t, c, topic, func() { driverkit.Publish(t, d, topic, message.NewMessage("1", []byte("lost"))) })

			// On another node, and on this one.
			after := domain.Location{Log: f.Log(), Position: read.Position}
			for where, d := range map[string]transport.Driver{"a new node": open(t, c.URL("redis-streams")), "the old node": d} {
				var gap *transport.GapError
				driverkit.Poll(t, func() bool { // until the node knows the new master
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					err := transport.New(d, transport.Config{}).Replay(ctx, topic, after, time.Time{}, func([]domain.Entry) bool { return false })
					if err == nil || ctx.Err() != nil { // it waits for more
						t.Fatalf("%s goes on as if nothing were lost: %v", where, err)
					}
					return errors.As(err, &gap)
				})
			}
			for word := ""; word != driverkit.GapWord; { // it may have read what was lost
				if word = follower.Next(t); word != "lost" && word != driverkit.GapWord {
					t.Fatalf("the subscription went on with %q", word)
				}
			}
		})
	}
}

// A load publishes numbers to each topic and records what a subscriber receives.
type load struct {
	t         *testing.T
	bus       *transport.Transport
	topics    []string
	followers []*driverkit.Subscriber
	confirmed []atomic.Int64 // by topic: the numbers below this one are confirmed
	stop      chan struct{}
	running   sync.WaitGroup
}

func startLoad(t *testing.T, rawURL string, topics []string) *load {
	l := &load{t: t, topics: topics, confirmed: make([]atomic.Int64, len(topics)), stop: make(chan struct{})}
	l.bus = transport.New(open(t, rawURL), transport.Config{RetryMin: time.Millisecond, RetryMax: 50 * time.Millisecond})
	publisher := transport.New(open(t, rawURL), transport.Config{})
	t.Cleanup(func() { _ = publisher.Close() })
	for i, topic := range topics {
		l.followers = append(l.followers, driverkit.Subscribe(t, l.bus, topic))
		l.running.Go(func() {
			for n := 0; ; n++ {
				m := message.NewMessage(fmt.Sprint(n), []byte(fmt.Sprint(n)))
				for publisher.Publish(topic, m) != nil { // again until it is confirmed
					select {
					case <-l.stop:
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
				l.confirmed[i].Store(int64(n + 1))
				select {
				case <-l.stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
			}
		})
	}
	return l
}

// await waits until each topic has had n more messages confirmed.
func (l *load) await(n int64) {
	l.t.Helper()
	for i := range l.topics {
		from := l.confirmed[i].Load()
		driverkit.Poll(l.t, func() bool { return l.confirmed[i].Load() >= from+n })
	}
}

// finish ends the load and returns how many gaps each topic had. What was confirmed
// must have come in order, or a gap in its place.
func (l *load) finish() (gaps []int) {
	l.t.Helper()
	close(l.stop)
	l.running.Wait()
	for i, topic := range l.topics {
		next, inGap, count := int64(0), false, 0
		for next < l.confirmed[i].Load() {
			word := l.followers[i].Next(l.t)
			if word == driverkit.GapWord {
				inGap, count = true, count+1
				continue
			}
			n, err := strconv.ParseInt(word, 10, 64)
			switch {
			case err != nil:
				l.t.Fatal(err)
			case n > next && !inGap:
				l.t.Fatalf("%s: %d came instead of %d, without a gap", topic, n, next)
			case n < next-1: // the last one may have been published twice
				l.t.Fatalf("%s: %d came after %d", topic, n, next-1)
			}
			next, inGap = n+1, false
		}
		gaps = append(gaps, count)
	}
	return gaps
}

// A master is killed while messages are published: nothing is lost without a gap, and the
// topics of the other masters have none.
func TestAFailoverUnderLoad(t *testing.T) {
	t.Parallel()
	c := broker.NewRedisCluster(t, 3)
	l := startLoad(t, c.URL("redis-streams"), topicsOf(c, 3))
	l.await(50)
	master := c.Master(l.topics[0])
	replica := c.Replica(master)
	master.Kill()
	c.AwaitMaster(l.topics[0], replica)
	driverkit.Poll(t, func() bool { // what comes now is heard
		_, gaps := l.followers[0].Received()
		return gaps > 0
	})
	l.await(50)
	if gaps := l.finish(); !slices.Equal(gaps, []int{1, 0, 0}) {
		t.Fatalf("gaps: %v", gaps)
	}
}

// Slots are moved while messages are published: nobody notices. The rights that
// docs/operating.md lists are enough.
func TestAMoveUnderLoad(t *testing.T) {
	t.Parallel()
	for name, params := range map[string]string{"own connection": "", "shared connection": "&read_connections=0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := broker.NewRedisCluster(t, 3)
			moved := topicsOf(c, 3)
			others := []string{"fanfare.o0", "fanfare.o1", "fanfare.o2", "fanfare.o3", "fanfare.o4", "fanfare.o5"}
			c.SetUser("cluster-node")
			rawURL := strings.Replace(c.URL("redis-streams"), "://", "://cluster-node:secret@", 1) + params
			l := startLoad(t, rawURL, append(others, moved...))
			for _, topic := range moved {
				l.await(20)
				to := c.Other(topic)
				from := c.BeginMove(topic, to)
				l.await(20)
				c.MoveKeys(topic, from, to)
				l.await(20)
				c.FinishMove(topic, from, to)
				l.await(20)
			}
			told := strings.Contains(c.Master("fanfare.o0").CLI("CLIENT", "LIST"), "flags=t ") // not by polling
			if told != (params != "") {
				t.Errorf("changes are told: %v", told)
			}
			if gaps := l.finish(); slices.Max(gaps) > 0 {
				t.Fatalf("gaps: %v", gaps)
			}
		})
	}
}

// While a topic is being moved, everything works: at the old master, at the new one, and
// for a topic that nobody has published to yet.
func TestEverythingWorksDuringAMove(t *testing.T) {
	t.Parallel()
	c := broker.NewRedisCluster(t, 3)
	const topic = "fanfare.orders"
	d := open(t, c.URL("redis-streams"))
	old := driverkit.Follow(t, d, topic, "")
	driverkit.Publish(t, d, topic, message.NewMessage("0", []byte("0")))
	read := driverkit.ReadLog(t, old, 1)[0]

	to := c.Other(topic)
	from := c.BeginMove(topic, to)
	c.MoveKeys(topic, from, to)
	group, err := d.(transport.GroupDriver).Group("g")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = group.Close() }()
	shared, err := group.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	driverkit.Publish(t, d, topic, message.NewMessage("1", []byte("1")), message.NewMessage("2", []byte("2")))
	f := driverkit.Follow(t, d, topic, read.Position)
	if f.Log() != old.Log() {
		t.Error("the topic has become another log")
	}
	if got := driverkit.Bodies(driverkit.ReadLog(t, f, 2)); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("a feed read %v", got)
	}
	for want := range 3 {
		select {
		case m := <-shared:
			m.Ack()
			if string(m.Payload) != fmt.Sprint(want) {
				t.Errorf("the group received %s instead of %d", m.Payload, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the group receives nothing")
		}
	}
	if err := d.(transport.Trimmer).Trim(t.Context(), topic); err != nil {
		t.Error(err)
	}
	if at, err := d.(transport.LogDriver).Tail(t.Context(), topic); err != nil || at <= read.Position {
		t.Errorf("tail %x, %v", at, err)
	}
	c.FinishMove(topic, from, to)
	driverkit.Publish(t, d, topic, message.NewMessage("3", []byte("3")))
	if got := driverkit.Bodies(driverkit.ReadLog(t, f, 1)); !slices.Equal(got, []string{"3"}) {
		t.Errorf("after the move the feed read %v", got)
	}
}

// A URL that does not say what the servers are is told so.
func TestAClusterIsNamedSo(t *testing.T) {
	t.Parallel()
	c, single := broker.NewRedisCluster(t, 3), broker.Redis(t)
	topic := topicsOf(c, 3)[1] // of another master than the first
	u, _ := url.Parse(c.URL("redis-streams"))
	first, _, _ := strings.Cut(u.Host, ",")
	for rawURL, want := range map[string]string{
		"redis-streams://" + first + "/0":             "cluster=true",
		single.URL("redis-streams") + "?cluster=true": "not a Redis Cluster",
	} {
		d := open(t, rawURL)
		_, err := d.Follow(t.Context(), topic, "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: follow: %v", rawURL, err)
		}
		err = errors.Join(d.Publish(t.Context(), driverkit.Outgoing(topic, message.NewMessage("0", nil)))...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: publish: %v", rawURL, err)
		}
	}
}
