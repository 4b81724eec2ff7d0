package subscriber_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
)

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
