package natscore_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/broker/embedded"
	"github.com/fanfarebus/fanfare/test/conformance"
)

func TestConformance(t *testing.T) {
	s := broker.NATS(t)
	p := broker.NewProxy(t, s.Addr())
	conformance.Run(t, conformance.Harness{
		Name: "nats",
		Open: func(t testing.TB) transport.Driver { return open(t, "nats://"+p.Addr()) },
		Cut:  p.Cut, Mend: p.Mend,
		Freeze: p.Swallow, Thaw: p.Pass,
		Deafen:     func() { p.SwallowWho("SUB conformance.") },
		Poison:     poison(s.Client()),
		Goroutines: broker.Goroutines,
	})
}

// Connections are cut and frozen before the real server.
func TestConformanceEmbedded(t *testing.T) {
	addr := embedded.NATS(t)
	conn, err := nats.Connect("nats://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	conformance.Run(t, conformance.Harness{
		Name:       "nats, embedded",
		Open:       func(t testing.TB) transport.Driver { return open(t, "nats://"+addr) },
		Poison:     poison(conn),
		Goroutines: embedded.Goroutines,
	})
}

func poison(conn *nats.Conn) func(t testing.TB, topic string) {
	return func(t testing.TB, topic string) {
		m := nats.NewMsg(topic)
		m.Header["_watermill_message_uuid"] = []string{"one", "two"}
		m.Data = []byte("\xff\x00")
		err := conn.PublishMsg(m)
		if err == nil {
			err = conn.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
