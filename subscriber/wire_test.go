package subscriber_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/subscriber"
	"github.com/fanfarebus/fanfare/test/broker"
)

// A member that works on a message for longer than claim_after keeps it: the other member
// does not get it.
func TestALivingMemberKeepsWhatItWorksOn(t *testing.T) {
	url := "redis-streams://" + broker.Redis(t).Addr() + "/0?claim_after=1s"
	k := newKit(t, func(cfg transport.Config) *transport.Transport {
		bus, err := fanfare.Openers().Open(t.Context(), url, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return bus
	})
	l := newLog()
	slow := func(ctx context.Context, m *subscriber.Message) error {
		pause := time.NewTimer(3 * time.Second)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.add(m)
		return nil
	}
	one, two := k.subscriber("g", subscriber.Config{}), k.subscriber("g", subscriber.Config{})
	k.run(one, slow)
	k.run(two, slow)
	for n := range 8 {
		k.send(fmt.Sprint("user", n), 0)
	}
	until(t, "all", func() bool {
		return l.count() == 8 && one.Stats().InFlight+two.Stats().InFlight == 0
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, n := range l.times {
		if n > 1 {
			t.Errorf("%s was handled %d times", id, n)
		}
	}
}

// What services in other languages read is as docs/protocol.md says.
func TestWhatIsOnTheBusIsAsDocumented(t *testing.T) {
	open := func(url string) kit {
		return newKit(t, func(cfg transport.Config) *transport.Transport {
			bus, err := fanfare.Openers().Open(t.Context(), url, cfg)
			if err != nil {
				t.Fatal(err)
			}
			return bus
		})
	}
	isEnvelope := func(text []byte) {
		t.Helper()
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if m["from"] != "alice" || m["session"] != "session-alice" || m["id"] != "alice-7" || m["type"] != "said" ||
			m["data"] != 7.0 || m["time"] == nil || m["to"] != nil {
			t.Errorf("on the bus: %s", text)
		}
	}

	server := broker.Redis(t)
	k := open("redis-streams://" + server.Addr() + "/0")
	k.send("alice", 7)
	entries, err := server.Client().XRange(t.Context(), k.topics.Inbound(k.system), "-", "+").Result()
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	var names []string
	for name := range entries[0].Values {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"_watermill_message_uuid", "metadata", "payload"}) {
		t.Errorf("fields %q", names)
	}
	payload, _ := entries[0].Values["payload"].(string)
	isEnvelope([]byte(payload))

	nc := broker.NATS(t)
	core := open(nc.URL("nats"))
	heard := make(chan *nats.Msg, 10)
	sub, err := nc.Client().ChanQueueSubscribe(core.topics.Inbound(core.system), "shop", heard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	core.send("alice", 7)
	select {
	case m := <-heard:
		isEnvelope(m.Data)
		if len(m.Header) > 0 {
			t.Errorf("headers: %v", m.Header)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
}
