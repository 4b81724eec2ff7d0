package jetstream_test

import (
	"encoding/binary"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	stock "github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/jetstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestMain(m *testing.M) { driverkit.VerifyNoLeaks(m) }

// A kit is a server, our driver on it, and a foreign client.
type kit struct {
	t testing.TB
	*broker.NATSServer
	d transport.Driver
}

func newKit(t testing.TB) kit {
	s := broker.NATS(t)
	return kit{t, s, open(t, s.URL("jetstream"))}
}

func open(t testing.TB, rawURL string) transport.Driver {
	t.Helper()
	return driverkit.Open(t, jetstream.Open, rawURL)
}

func openLogged(t testing.TB, rawURL string) (transport.Driver, *driverkit.Log) {
	t.Helper()
	return driverkit.OpenLogged(t, jetstream.Open, rawURL)
}

func (k kit) follow(after domain.Position) transport.Feed {
	k.t.Helper()
	return driverkit.Follow(k.t, k.d, "t", after)
}

// refused follows after a position and wants a gap.
func (k kit) refused(after domain.Position, want domain.GapReason) {
	k.t.Helper()
	driverkit.WantRefused(k.t, k.d, "t", after, want)
}

func (k kit) read(f transport.Feed, n int) []domain.Entry {
	k.t.Helper()
	return driverkit.ReadLog(k.t, f, n)
}

// bodies reads n entries and returns their bodies.
func (k kit) bodies(f transport.Feed, n int) []string {
	k.t.Helper()
	return driverkit.Bodies(k.read(f, n))
}

func (k kit) publish(msgs ...*message.Message) {
	k.t.Helper()
	driverkit.Publish(k.t, k.d, "t", msgs...)
}

// at is a position.
func at(seq uint64) domain.Position {
	return domain.Position(binary.BigEndian.AppendUint64(nil, seq))
}

func seqOf(p domain.Position) uint64 { return binary.BigEndian.Uint64([]byte(p)) }

func (k kit) want(want, got []string) {
	k.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		k.t.Fatal(diff)
	}
}

// add publishes the numbers from first to last.
func (k kit) add(first, last int) []string {
	k.t.Helper()
	want := driverkit.Numbers(first, last)
	var msgs []*message.Message
	for _, body := range want {
		msgs = append(msgs, driverkit.Raw(body))
	}
	k.publish(msgs...)
	return want
}

func (k kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// js is a foreign client.
func (k kit) js() stock.JetStream {
	k.t.Helper()
	js, err := stock.New(k.Client(nats.MaxReconnects(-1)))
	k.must(err)
	return js
}

// stream is the topic's stream.
func (k kit) stream() stock.Stream {
	k.t.Helper()
	s, err := k.js().Stream(k.t.Context(), "t")
	k.must(err)
	return s
}

// trim leaves the newest keep messages.
func (k kit) trim(keep uint64) {
	k.t.Helper()
	if keep == 0 {
		k.must(k.stream().Purge(k.t.Context()))
		return
	}
	k.must(k.stream().Purge(k.t.Context(), stock.WithPurgeKeep(keep)))
}

// del deletes single messages.
func (k kit) del(seqs ...uint64) {
	k.t.Helper()
	s := k.stream()
	for _, seq := range seqs {
		k.must(s.DeleteMsg(k.t.Context(), seq))
	}
}

// remove deletes the stream.
func (k kit) remove() {
	k.t.Helper()
	k.must(k.js().DeleteStream(k.t.Context(), "t"))
}

// create makes the stream, as the driver would not.
func (k kit) create(change func(*stock.StreamConfig)) {
	k.t.Helper()
	c := stock.StreamConfig{Name: "t", Subjects: []string{"t"}}
	if change != nil {
		change(&c)
	}
	_, err := k.js().CreateStream(k.t.Context(), c)
	k.must(err)
}
