package jetstream_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	stock "github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/broker/embedded"
	"github.com/fanfarebus/fanfare/test/conformance"
)

func TestConformance(t *testing.T) {
	s := broker.NATS(t)
	p := broker.NewProxy(t, s.Addr())
	conn := s.Client()
	h := onStreams(t, conn)
	h.Name = "jetstream"
	h.Open = func(t testing.TB) transport.Driver { return open(t, "jetstream://"+p.Addr()) }
	h.Cut, h.Mend = p.Cut, p.Mend
	h.Freeze, h.Thaw = p.Swallow, p.Pass
	h.Deafen = func() { p.SwallowWho("CONSUMER.CREATE") }
	h.Goroutines = broker.Goroutines
	conformance.Run(t, h)
}

// Connections are cut and frozen before the real server.
func TestConformanceEmbedded(t *testing.T) {
	addr := embedded.NATS(t)
	conn, err := nats.Connect("nats://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	h := onStreams(t, conn)
	h.Name = "jetstream, embedded"
	h.Open = func(t testing.TB) transport.Driver { return open(t, "jetstream://"+addr) }
	h.Goroutines = embedded.Goroutines
	conformance.Run(t, h)
}

// onStreams does what another client of the server can do to the topics' streams.
func onStreams(t *testing.T, conn *nats.Conn) conformance.Harness {
	js, err := stock.New(conn)
	if err == nil {
		_, err = js.AccountInfo(t.Context()) // now it hears answers, with a goroutine
	}
	if err != nil {
		t.Fatal(err)
	}
	stream := func(t testing.TB, topic string) stock.Stream {
		t.Helper()
		name, err := js.StreamNameBySubject(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return conformance.Harness{
		Trim: func(t testing.TB, topic string, keep int) {
			if err := stream(t, topic).Purge(t.Context(), stock.WithPurgeKeep(uint64(keep))); err != nil {
				t.Fatal(err)
			}
		},
		Recreate: func(t testing.TB, topic string) {
			if err := js.DeleteStream(t.Context(), stream(t, topic).CachedInfo().Config.Name); err != nil {
				t.Fatal(err)
			}
		},
		Poison: func(t testing.TB, topic string) {
			m := nats.NewMsg(topic)
			m.Header["_watermill_message_uuid"] = []string{"one", "two"}
			m.Data = []byte("\xff\x00")
			if _, err := js.PublishMsg(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		},
	}
}
