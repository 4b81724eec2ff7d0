package natscore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/natscore"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, rawURL string) transport.Driver {
	t.Helper()
	return driverkit.Open(t, natscore.Open, rawURL)
}

// follow follows a topic from now on.
func follow(t testing.TB, d transport.Driver, topic string) transport.Feed {
	t.Helper()
	return driverkit.Follow(t, d, topic, "")
}

func TestForeignersPublishAndReadBarePayloads(t *testing.T) {
	s := broker.NATS(t)
	d := open(t, s.URL("nats"))
	f := follow(t, d, "fanfare.orders")
	nc := s.Client()
	envelope := []byte(`{"to":"user:alice","data":{"n":1}}`)
	headers := nats.Header{"to": {"user:alice"}, "Nats-Msg-Id": {"1"}, "_watermill_message_uuid": {"u"}}
	if err := errors.Join(nc.Publish("fanfare.orders", envelope),
		nc.PublishMsg(&nats.Msg{Subject: "fanfare.orders", Header: headers, Data: []byte("x")})); err != nil {
		t.Fatal(err)
	}
	want := []domain.Entry{{Body: envelope}, {UUID: "u", Header: []domain.Field{{Name: "to", Value: "user:alice"}}, Body: []byte("x")}}
	if diff := cmp.Diff(want, driverkit.Read(t, f, 2)); diff != "" {
		t.Error(diff)
	}
	theirs, err := nc.SubscribeSync("fanfare.orders")
	if err := errors.Join(err, nc.Flush()); err != nil {
		t.Fatal(err)
	}
	driverkit.Publish(t, d, "fanfare.orders", driverkit.Raw(string(envelope)))
	if m, err := theirs.NextMsg(10 * time.Second); err != nil || string(m.Data) != string(envelope) || len(m.Header) > 0 {
		t.Fatalf("a foreign subscriber received %+v, %v", m, err)
	}
}

func TestMessagesKeepUUIDAndMetadata(t *testing.T) {
	s := broker.NATS(t)
	d := open(t, s.URL("nats"))
	f := follow(t, d, "t")
	m := message.NewMessage("id-1", []byte{0, 0xff})
	m.Metadata = message.Metadata{"b": "2", "a": "é"}
	before := m.Copy()
	both := driverkit.Raw("both")
	both.Metadata.Set("k", "v")
	bad := message.NewMessage("x", nil)
	bad.Metadata.Set("k", " v")
	errs := d.Publish(t.Context(), driverkit.Outgoing("t", m, bad, both, driverkit.Raw(strings.Repeat("x", 2<<20)), driverkit.Raw("last")))
	if len(errs) != 5 || !errors.Is(errs[1], domain.ErrInvalid) || !errors.Is(errs[3], domain.ErrTooLarge) ||
		errs[0] != nil || errs[2] != nil || errs[4] != nil {
		t.Fatalf("errors %v", errs)
	}
	want := []domain.Entry{
		{UUID: "id-1", Header: []domain.Field{{Name: "a", Value: "é"}, {Name: "b", Value: "2"}}, Body: []byte{0, 0xff}},
		{UUID: "ignored", Header: []domain.Field{{Name: "k", Value: "v"}}, Body: []byte("both")},
		{Body: []byte("last")},
	}
	if diff := cmp.Diff(want, driverkit.Read(t, f, 3)); diff != "" {
		t.Error(diff)
	}
	if !m.Equals(before) || !slices.Equal(m.Payload, before.Payload) {
		t.Error("the caller's message was changed")
	}
}

func TestAFeedEndsWhenTheServerDiesAndNothingIsSentLater(t *testing.T) {
	s := broker.NATS(t)
	d := open(t, s.URL("nats"))
	f := follow(t, d, "t")
	driverkit.Publish(t, d, "t", driverkit.Raw("1"))
	driverkit.Read(t, f, 1)
	s.Kill()
	if _, err := driverkit.WaitForEnd(t, f); !errors.Is(err, domain.ErrBusDown) {
		t.Fatalf("error %v", err)
	}
	if _, err := d.Follow(t.Context(), "t", ""); !errors.Is(err, domain.ErrBusDown) {
		t.Fatalf("Follow: %v", err)
	}
	errs := d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("lost"), driverkit.Raw("lost")))
	if len(errs) != 2 || !errors.Is(errs[0], domain.ErrBusDown) || !errors.Is(errs[1], domain.ErrBusDown) {
		t.Fatalf("Publish: %v", errs)
	}
	if err := d.Ping(t.Context()); !errors.Is(err, domain.ErrBusDown) {
		t.Fatalf("Ping: %v", err)
	}
	s.Restart()
	f = follow(t, d, "t")
	driverkit.Publish(t, d, "t", driverkit.Raw("4"))
	if got := driverkit.Read(t, f, 1); string(got[0].Body) != "4" {
		t.Fatalf("read %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Read(ctx); err == nil {
		t.Fatal("a canceled Read returned nothing and no error")
	}
}

// The messages that wait for a slow reader are bounded. After the first one that is dropped,
// the feed ends and returns none of those that follow.
func TestASlowReaderIsToldThatItLostSomething(t *testing.T) {
	s := broker.NATS(t)
	d := open(t, s.URL("nats")+"?pending_messages=1000")
	f, other := follow(t, d, "t"), follow(t, d, "other")
	const n = 5000
	for i := 0; i < n; i += 500 {
		var msgs []*message.Message
		for j := range 500 {
			msgs = append(msgs, driverkit.Raw(fmt.Sprint(i+j)))
		}
		driverkit.Publish(t, d, "t", msgs...)
	}
	driverkit.Publish(t, d, "other", driverkit.Raw(""))
	driverkit.Read(t, other, 1) // by now all has come
	next := 0
	for {
		driverkit.Publish(t, d, "t", driverkit.Raw("behind what was lost")) // there is room again
		driverkit.Publish(t, d, "other", driverkit.Raw(""))
		driverkit.Read(t, other, 1)
		batch, err := f.Read(t.Context())
		if err != nil {
			if !errors.Is(err, nats.ErrSlowConsumer) {
				t.Fatal(err)
			}
			break
		}
		for _, e := range batch {
			if string(e.Body) != fmt.Sprint(next) {
				t.Fatalf("%s instead of %d", e.Body, next)
			}
			next++
		}
	}
	if next == n {
		t.Fatal("nothing was lost: that tests nothing")
	}
}

func TestWhatIsForbiddenIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	write := func(deny string) {
		t.Helper()
		conf := fmt.Sprintf("authorization { users: [ {user: u, password: p, permissions: {publish: {deny: [a, b]}, subscribe: {deny: [%s]}}} ] }", deny)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("c")
	s := broker.NATS(t, "--config", file)
	d := open(t, "nats://u:p@"+s.Addr())
	if _, err := d.Follow(t.Context(), "c", ""); !errors.Is(err, domain.ErrForbidden) {
		t.Errorf("Follow: %v", err)
	}
	records := slices.Concat(driverkit.Outgoing("a", driverkit.Raw("1")), driverkit.Outgoing("ok", driverkit.Raw("2")), driverkit.Outgoing("b", driverkit.Raw("3")), driverkit.Outgoing("a", driverkit.Raw("4")))
	f := follow(t, d, "ok")
	for range 20 {
		errs := d.Publish(t.Context(), records)
		if len(errs) != 4 || !errors.Is(errs[0], domain.ErrForbidden) || errs[1] != nil || !errors.Is(errs[2], domain.ErrForbidden) || !errors.Is(errs[3], domain.ErrForbidden) {
			t.Fatalf("Publish: %v", errs)
		}
	}
	driverkit.Read(t, f, 20)
	// The feed ends when the right to subscribe is taken away.
	write("c, ok")
	s.Reload()
	if _, err := driverkit.WaitForEnd(t, f); err == nil {
		t.Fatal("the feed goes on")
	} else {
		t.Log(err)
	}
	if err := open(t, "nats://u:wrong@"+s.Addr()).Ping(t.Context()); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestAQueueGroupSharesATopic(t *testing.T) {
	s := broker.NATS(t)
	d := open(t, s.URL("nats"))
	join := func() (message.Subscriber, <-chan *message.Message) {
		t.Helper()
		g, err := d.(transport.GroupDriver).Group("g")
		if err != nil {
			t.Fatal(err)
		}
		in, err := g.Subscribe(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		return g, in
	}
	a, fromA := join()
	b, fromB := join()
	fan := follow(t, d, "t")
	const n = 100
	for i := range n {
		driverkit.Publish(t, d, "t", driverkit.Raw(fmt.Sprint(i)))
	}
	driverkit.Read(t, fan, n) // a subscriber in no group gets all
	seen, nacked := map[string]int{}, false
	var fromBoth [2]int
	for len(seen) < n {
		var m *message.Message
		who := 0
		select {
		case m = <-fromA:
		case m = <-fromB:
			who = 1
		case <-time.After(20 * time.Second):
			t.Fatalf("%d messages", len(seen))
		}
		if !nacked {
			nacked = true
			m.Nack()
			continue
		}
		fromBoth[who]++
		seen[string(m.Payload)]++
		m.Ack()
	}
	for body, times := range seen {
		if times != 1 {
			t.Errorf("%s came %d times", body, times)
		}
	}
	if fromBoth[0] == 0 || fromBoth[1] == 0 {
		t.Errorf("the members got %v", fromBoth)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}

func TestAGroupOutlivesARestart(t *testing.T) {
	s := broker.NATS(t)
	d := open(t, s.URL("nats"))
	g, err := d.(transport.GroupDriver).Group("g")
	if err != nil {
		t.Fatal(err)
	}
	in, err := g.Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	got := make(chan struct{})
	go func() {
		m := <-in
		m.Ack()
		close(got)
	}()
	driverkit.Poll(t, func() bool { // until the member is back
		_ = d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("x")))
		select {
		case <-got:
			return true
		default:
			return false
		}
	})
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	u, _ := url.Parse("nats://u:hunter2@127.0.0.1:1/0?retention=1h")
	_, err := natscore.Open(t.Context(), u, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), `"retention"`) || !strings.Contains(err.Error(), `"/0"`) || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("error %v", err)
	}
}
