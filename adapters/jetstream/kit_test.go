package jetstream_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	stock "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/jetstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
)

// Watermill's suite reads from several subscribers through a multiplier of its
// own, which leaves its goroutines behind.
func TestMain(m *testing.M) {
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(multiplier+".func2"), goleak.IgnoreAnyFunction(multiplier+".func3"))
}

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
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := jetstream.Open(t.Context(), u, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func (k kit) follow(after domain.Position) transport.Feed {
	k.t.Helper()
	f, err := k.d.Follow(k.t.Context(), "t", after)
	k.must(err)
	k.t.Cleanup(func() { _ = f.Close() })
	return f
}

// at is a position.
func at(seq uint64) domain.Position {
	return domain.Position(binary.BigEndian.AppendUint64(nil, seq))
}

func seqOf(p domain.Position) uint64 { return binary.BigEndian.Uint64([]byte(p)) }

// refused follows after a position and wants a break.
func (k kit) refused(after domain.Position, want domain.GapReason) {
	k.t.Helper()
	f, err := k.d.Follow(k.t.Context(), "t", after)
	if err == nil {
		_ = f.Close()
	}
	wantBreak(k.t, err, want)
}

// ended reads until the feed is over, having read n entries before that.
func (k kit) ended(f transport.Feed, n int) error {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	for {
		batch, err := f.Read(ctx)
		if err != nil {
			if n != 0 {
				k.t.Fatalf("%d entries fewer than wanted before the end: %v", n, err)
			}
			if _, again := f.Read(ctx); again == nil {
				k.t.Fatal("a feed went on after its end")
			}
			return err
		}
		n -= len(batch)
	}
}

func wantBreak(t testing.TB, err error, want domain.GapReason) {
	t.Helper()
	var lost *transport.GapError
	if !errors.As(err, &lost) || lost.Reason != want {
		t.Fatalf("got %v, want a break: %s", err, want)
	}
	t.Log(err)
}

func (k kit) read(f transport.Feed, n int) []domain.Entry {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	var all []domain.Entry
	for len(all) < n {
		batch, err := f.Read(ctx)
		if err != nil {
			k.t.Fatalf("after %d of %d entries: %v", len(all), n, err)
		}
		if len(batch) == 0 || len(batch) > transport.BatchSize {
			k.t.Fatalf("a batch of %d", len(batch))
		}
		all = append(all, batch...)
	}
	for i := 1; i < len(all); i++ {
		if all[i-1].Position >= all[i].Position {
			k.t.Fatalf("positions do not rise at %d", i)
		}
	}
	return all
}

// bodies reads n entries and returns their bodies.
func (k kit) bodies(f transport.Feed, n int) []string {
	k.t.Helper()
	var all []string
	for _, e := range k.read(f, n) {
		all = append(all, string(e.Body))
	}
	return all
}

func (k kit) want(want, got []string) {
	k.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		k.t.Fatal(diff)
	}
}

func numbers(first, last int) (all []string) {
	for i := first; i <= last; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// add publishes the numbers from first to last.
func (k kit) add(first, last int) []string {
	k.t.Helper()
	want := numbers(first, last)
	var msgs []*message.Message
	for _, body := range want {
		msgs = append(msgs, raw(body))
	}
	k.publish(msgs...)
	return want
}

func raw(payload string) *message.Message {
	m := message.NewMessage("ignored", []byte(payload))
	m.Metadata.Set(transport.RawKey, "1")
	return m
}

func (k kit) publish(msgs ...*message.Message) {
	k.t.Helper()
	k.must(errors.Join(k.d.Publish(k.t.Context(), on("t", msgs...))...))
}

func on(topic string, msgs ...*message.Message) []transport.Outgoing {
	records := make([]transport.Outgoing, len(msgs))
	for i, m := range msgs {
		records[i] = transport.Outgoing{Topic: topic, Message: m}
	}
	return records
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

func poll(t testing.TB, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Error("it did not happen in time")
			return
		}
	}
}
