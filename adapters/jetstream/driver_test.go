package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

func TestAMissingStreamIsCreatedAsTheURLSays(t *testing.T) {
	k := newKit(t)
	d := open(t, k.URL("jetstream")+"?retention=90m&storage=memory&max_bytes=1000000")
	k.must(errors.Join(d.Publish(t.Context(), driverkit.Outgoing("fanfare.my_orders.inbound", driverkit.Raw("x")))...))
	s, err := k.js().Stream(t.Context(), "fanfare_my=5Forders_inbound")
	k.must(err)
	c := s.CachedInfo().Config
	if c.MaxAge != 90*time.Minute || c.Storage != stock.MemoryStorage || c.MaxBytes != 1_000_000 || c.Replicas != 1 ||
		len(c.Subjects) != 1 || c.Subjects[0] != "fanfare.my_orders.inbound" || c.Retention != stock.LimitsPolicy {
		t.Fatalf("%+v", c)
	}
}

func TestAStreamThatExistsIsFoundBySubjectAndNotChanged(t *testing.T) {
	k := newKit(t)
	k.create(func(c *stock.StreamConfig) {
		c.Name, c.Subjects, c.MaxAge = "theirs", []string{"t", "u.*"}, time.Minute
	})
	d := open(t, k.URL("jetstream")+"?retention=90m")
	f, err := d.Follow(t.Context(), "u.1", "")
	k.must(err)
	defer f.Close()
	k.must(errors.Join(d.Publish(t.Context(), driverkit.Outgoing("u.1", driverkit.Raw("x")))...))
	k.want([]string{"x"}, k.bodies(f, 1))
	s, err := k.js().Stream(t.Context(), "theirs")
	k.must(err)
	if c := s.CachedInfo().Config; c.MaxAge != time.Minute || len(c.Subjects) != 2 {
		t.Fatalf("%+v", c)
	}
}

func TestWithoutCreateTheErrorSaysWhatToCreate(t *testing.T) {
	k := newKit(t)
	d := open(t, k.URL("jetstream")+"?create=false&retention=2h")
	want := "nats stream add t --subjects t --retention limits --discard old --max-age 2h0m0s --storage file --replicas 1"
	_, err := d.Follow(t.Context(), "t", "")
	published := d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("x")))
	for _, err := range []error{err, errors.Join(published...)} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v", err)
		}
	}
	k.create(nil)
	k.must(errors.Join(d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("x")))...))
}

func TestAServerWithoutJetStreamSaysSo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte("accounts { A { users: [{user: a, password: b}] } }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := broker.NATS(t, "--config", file)
	d := open(t, "jetstream://a:b@"+s.Addr())
	_, err := d.Follow(t.Context(), "t", "")
	if err == nil || !strings.Contains(err.Error(), "JetStream") {
		t.Fatalf("error %v", err)
	}
	t.Log(err)
	if err := errors.Join(d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("x")))...); err == nil || !strings.Contains(err.Error(), "JetStream") {
		t.Fatalf("error %v", err)
	}
}

func TestADomainThatIsNotThereIsNamed(t *testing.T) {
	k := newKit(t)
	d := open(t, k.URL("jetstream")+"?domain=hub")
	if err := errors.Join(d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("x")))...); err == nil || !strings.Contains(err.Error(), "domain is hub") {
		t.Errorf("error %v", err)
	}
}

// Whoever may not use JetStream's API, or not publish, is told at once.
func TestWhatIsForbiddenIsToldAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	conf := `authorization { users: [
		{user: all, password: p}
		{user: reader, password: p, permissions: {publish: {deny: ["t", "$JS.API.STREAM.CREATE.>"]}}}
		{user: nobody, password: p, permissions: {publish: {deny: ["$JS.>"]}}}
		{user: deaf, password: p, permissions: {subscribe: {deny: [">"]}}}
	] }`
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := broker.NATS(t, "--config", file)
	start := time.Now()
	reader, nobody := open(t, "jetstream://reader:p@"+s.Addr()), open(t, "jetstream://nobody:p@"+s.Addr())
	if _, err := reader.Follow(t.Context(), "t", ""); !errors.Is(err, domain.ErrForbidden) || !strings.Contains(err.Error(), "nats stream add t ") {
		t.Errorf("who may not create: %v", err)
	}
	if _, err := nobody.Follow(t.Context(), "t", ""); !errors.Is(err, domain.ErrForbidden) {
		t.Errorf("who may not use the API: %v", err)
	}
	all := open(t, "jetstream://all:p@"+s.Addr())
	if err := errors.Join(all.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("x")))...); err != nil {
		t.Fatal(err)
	}
	errs := reader.Publish(t.Context(), append(driverkit.Outgoing("t", driverkit.Raw("x")), driverkit.Outgoing("t", driverkit.Raw("y"))...))
	if len(errs) != 2 || !errors.Is(errs[0], domain.ErrForbidden) || !errors.Is(errs[1], domain.ErrForbidden) {
		t.Errorf("who may not publish: %v", errs)
	}
	for user, says := range map[string]string{"nobody": `Publish to "$JS.API.STREAM.NAMES"`, "deaf": "may not subscribe to answers"} {
		err := errors.Join(open(t, "jetstream://"+user+":p@"+s.Addr()).Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("x")))...)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "canceled") {
			t.Errorf("%s publishes: %v", user, err)
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if f, err := reader.Follow(t.Context(), "t", ""); err != nil {
		t.Errorf("who may read: %v", err)
	} else {
		_ = f.Close()
	}
	if err := open(t, "jetstream://all:wrong@"+s.Addr()).Ping(t.Context()); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestMessagesKeepUUIDMetadataAndPayload(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	m := message.NewMessage("id-1", []byte{0, 0xff, '{'})
	m.Metadata = message.Metadata{"b": "2", "a": "é", "fanfare.origin": "redis-streams/1-2=="}
	r := driverkit.Raw("bare")
	both := driverkit.Raw("with both")
	both.Metadata.Set("fanfare.origin", "x")
	k.publish(m, r, both, message.NewMessage("id-2", nil))
	got := k.read(f, 4)
	want := []domain.Entry{
		{UUID: "id-1", Header: []domain.Field{{Name: "a", Value: "é"}, {Name: "b", Value: "2"}, {Name: "fanfare.origin", Value: "redis-streams/1-2=="}},
			Body: []byte{0, 0xff, '{'}},
		{Body: []byte("bare")},
		{UUID: "ignored", Header: []domain.Field{{Name: "fanfare.origin", Value: "x"}}, Body: []byte("with both")},
		{UUID: "id-2", Body: []byte{}},
	}
	for i := range got {
		if since := time.Since(got[i].Time); since < 0 || since > time.Minute {
			t.Errorf("time %v", got[i].Time)
		}
		want[i].Position = at(uint64(i + 1))
		got[i].Time = time.Time{}
		got[i].Body = append([]byte{}, got[i].Body...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestForeignersPublishWithHeadersAndReadBarePayloads(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	nc := k.Client()
	k.must(nc.PublishMsg(&nats.Msg{Subject: "t", Data: []byte(`{"n":1}`), Header: nats.Header{
		"to": {"user:alice"}, "Type": {"a", "b"}, "Nats-Msg-Id": {"1"}, "Status": {"409"},
	}}))
	k.must(nc.Publish("t", nil))
	got := k.read(f, 2)
	want := []domain.Field{{Name: "Status", Value: "409"}, {Name: "Type", Value: "a"}, {Name: "Type", Value: "b"}, {Name: "to", Value: "user:alice"}}
	if diff := cmp.Diff(want, got[0].Header); diff != "" || string(got[0].Body) != `{"n":1}` || got[1].Header != nil {
		t.Errorf("%v %+v", diff, got)
	}
	sub, err := nc.SubscribeSync("t")
	k.must(err)
	k.must(nc.Flush())
	k.publish(driverkit.Raw("bare"))
	if m, err := sub.NextMsg(10 * time.Second); err != nil || string(m.Data) != "bare" || len(m.Header) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestEachRecordHasItsOwnResultAndOrderIsKept(t *testing.T) {
	k := newKit(t)
	k.create(func(c *stock.StreamConfig) { c.MaxMsgSize = 1000 })
	f := k.follow("")
	uuid, line, server := message.NewMessage("1", nil), message.NewMessage("1", nil), message.NewMessage("1", nil)
	uuid.Metadata.Set("_watermill_message_uuid", "x")
	line.Metadata.Set("k", "a\nb")
	server.Metadata.Set("Nats-Msg-Id", "1")
	bad := message.NewMessage("1", nil)
	bad.Metadata.Set("a:b c", "1")
	errs := k.d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("1"), uuid, driverkit.Raw(strings.Repeat("x", 2000)), line, driverkit.Raw("2"), server,
		driverkit.Raw(strings.Repeat("x", 2<<20)), bad, driverkit.Raw("3")))
	want := []error{nil, domain.ErrInvalid, domain.ErrTooLarge, domain.ErrInvalid, nil, domain.ErrInvalid, domain.ErrTooLarge, domain.ErrInvalid, nil}
	if len(errs) != len(want) {
		t.Fatalf("errors %v", errs)
	}
	for i := range want {
		if !errors.Is(errs[i], want[i]) || want[i] == nil && errs[i] != nil {
			t.Errorf("record %d: %v, want %v", i, errs[i], want[i])
		}
	}
	k.want([]string{"1", "2", "3"}, k.bodies(f, 3))
	// The same again is no repetition to the server.
	k.publish(driverkit.Raw("3"), driverkit.Raw("3"))
	k.want([]string{"3", "3"}, k.bodies(f, 2))
}

func TestAFullStreamRefuses(t *testing.T) {
	k := newKit(t)
	k.create(func(c *stock.StreamConfig) { c.MaxMsgs, c.Discard = 2, stock.DiscardNew })
	errs := k.d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("1"), driverkit.Raw("2"), driverkit.Raw("3")))
	if len(errs) != 3 || errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], domain.ErrBusDown) {
		t.Fatalf("errors %v", errs)
	}
}

func TestAStreamThatIsGoneIsCreatedByTheNextPublish(t *testing.T) {
	k := newKit(t)
	k.add(1, 1)
	k.remove()
	if errs := k.d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("2"))); !errors.Is(errors.Join(errs...), domain.ErrBusDown) {
		t.Fatalf("errors %v", errs)
	}
	k.add(3, 3)
}

func TestPublishingIsBoundedAndNothingIsSentLater(t *testing.T) {
	k := newKit(t)
	k.add(1, 1)
	down := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		errs := k.d.Publish(ctx, driverkit.Outgoing("t", driverkit.Raw("lost"), driverkit.Raw("lost")))
		if len(errs) != 2 || !errors.Is(errs[0], domain.ErrBusDown) || !errors.Is(errs[1], domain.ErrBusDown) {
			t.Errorf("errors %v", errs)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %v", took)
		}
	}
	k.Kill()
	for range 3 {
		down()
	}
	k.Restart()
	f := k.follow(at(1))
	k.add(2, 2)
	k.want([]string{"2"}, k.bodies(f, 1))
	k.Freeze()
	down()
	k.Thaw()
}

func TestABusThatIsDownDoesNotFailOpen(t *testing.T) {
	d := open(t, "jetstream://127.0.0.1:1")
	if err := d.Ping(t.Context()); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("Ping: %v", err)
	}
	if _, err := d.Follow(t.Context(), "t", ""); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("Follow: %v", err)
	}
	if _, err := d.(transport.LogDriver).Tail(t.Context(), "t"); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("Tail: %v", err)
	}
	if err := errors.Join(d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("x")))...); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("Publish: %v", err)
	}
}

func TestAFeedThatEndsLeavesNoConsumer(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	if n := k.consumers(); n != 1 {
		t.Fatalf("%d consumers", n)
	}
	_ = f.Close()
	driverkit.Poll(t, func() bool { return k.consumers() == 0 })
}

func (k kit) consumers() int { return k.stream().CachedInfo().State.Consumers }

func TestLargeMessagesAreRead(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	big := strings.Repeat("x", 900<<10)
	for range 3 {
		k.publish(driverkit.Raw(big), driverkit.Raw(big), driverkit.Raw("small"))
	}
	for i, e := range k.read(f, 9) {
		if want := len(big); i%3 < 2 && len(e.Body) != want {
			t.Fatalf("%d bytes", len(e.Body))
		}
	}
}

func TestFollowSinceBeginsWithTheFirstThatIsNotOlder(t *testing.T) {
	k := newKit(t)
	all := k.add(1, 6)
	times := make([]time.Time, 7)
	for i, e := range k.read(k.follow(at(0)), 6) {
		times[i+1] = e.Time
	}
	since := func(when time.Time, begin uint64) transport.Feed {
		t.Helper()
		f, err := k.d.(transport.LogDriver).FollowSince(t.Context(), "t", when)
		k.must(err)
		t.Cleanup(func() { _ = f.Close() })
		if got := seqOf(f.Begin()); got != begin {
			t.Errorf("since %v: begins at %d, want %d", when, got, begin)
		}
		return f
	}
	k.want(all, k.bodies(since(time.Time{}, 0), 6))
	k.want(all[3:], k.bodies(since(times[4], 3), 3))
	k.want(all[4:], k.bodies(since(times[4].Add(1), 4), 2))
	for _, early := range []time.Time{time.Unix(0, 0), time.Unix(-1, 0), time.Unix(-1<<53, 0)} {
		k.want(all, k.bodies(since(early, 0), 6))
	}
	for _, late := range []time.Time{time.Unix(1<<53, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		since(late, 6)
	}
	later := since(time.Now().Add(time.Hour), 6)
	k.want(k.add(7, 8), k.bodies(later, 2))
	k.trim(3)
	k.want(driverkit.Numbers(6, 8), k.bodies(since(time.Time{}, 5), 3))
	k.trim(0)
	empty := since(time.Time{}, 8)
	k.want(k.add(9, 9), k.bodies(empty, 1))
}

func TestTopicsAreSubjects(t *testing.T) {
	d := open(t, "jetstream://127.0.0.1:1")
	for _, good := range []string{"t", "fanfare.orders", "websocket:x", "a.b-c_d.é"} {
		if err := d.CheckTopic(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", ">", "$JS.API.x", "a\x00", "a\n", "\xff", strings.Repeat("é", 100)} {
		if err := d.CheckTopic(bad); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	u, _ := url.Parse("jetstream://u:hunter2@127.0.0.1:1/x?retention=-1s&clustr=true&storage=tape&token=hunter3&nkey=/nowhere&replicas=0")
	_, err := jetstream.Open(t.Context(), u, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("opened")
	}
	for _, want := range []string{"clustr", "retention", `"/x"`, "tape", "nkey", "replicas", "give one of"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	for _, secret := range []string{"hunter2", "hunter3"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("a secret is in: %v", err)
		}
	}
}

func TestAGroupSharesATopicAndAMessageComesUntilItIsAcked(t *testing.T) {
	k := newKit(t)
	join := func() (message.Subscriber, <-chan *message.Message) {
		t.Helper()
		s, err := k.d.(transport.GroupDriver).Group("g")
		k.must(err)
		in, err := s.Subscribe(t.Context(), "t")
		k.must(err)
		return s, in
	}
	k.add(1, 5) // a new group begins with the oldest
	a, fromA := join()
	b, fromB := join()
	const n = 40
	k.add(6, n)
	seen, nacked := map[string]int{}, false
	for len(seen) < n {
		var m *message.Message
		select {
		case m = <-fromA:
		case m = <-fromB:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d messages", len(seen))
		}
		if string(m.Payload) == "7" && !nacked {
			nacked = true
			m.Nack()
			continue
		}
		seen[string(m.Payload)]++
		m.Ack()
	}
	for body, times := range seen {
		if times != 1 {
			t.Errorf("%s came %d times", body, times)
		}
	}
	k.must(errors.Join(a.Close(), b.Close()))
	if _, err := a.Subscribe(t.Context(), "t"); !errors.Is(err, domain.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	k.must(k.d.Ping(t.Context())) // closing a group leaves the driver alone
	if !nacked {
		t.Error("nothing was nacked")
	}
}

// A member that leaves may hold a message and have another one on its way. Both
// go to the next member at once, not when the server misses the first one (30 s).
func TestAMemberThatLeavesGivesBackWhatItHas(t *testing.T) {
	k := newKit(t)
	const n = 10
	k.add(1, n)
	for last := range 5 { // the last one acks, the others leave with a message in hand
		g, err := k.d.(transport.GroupDriver).Group("g")
		k.must(err)
		in, err := g.Subscribe(t.Context(), "t")
		k.must(err)
		seen := map[string]bool{}
		for enough := false; !enough; enough = last < 4 || len(seen) == n {
			select {
			case m := <-in:
				if seen[string(m.Payload)] = true; last == 4 {
					m.Ack()
				}
			case <-time.After(15 * time.Second):
				t.Fatalf("member %d received %d messages", last, len(seen))
			}
		}
		k.must(g.Close())
	}
}

func TestAGroupOutlivesARestartAndAServerThatForgotIt(t *testing.T) {
	k := newKit(t)
	g, err := k.d.(transport.GroupDriver).Group("g")
	k.must(err)
	in, err := g.Subscribe(t.Context(), "t")
	k.must(err)
	for i, prepare := range []func(){func() {}, func() { k.Kill(); k.Restart() }, func() { k.Kill(); k.Forget(); k.Restart() }} {
		prepare()
		body := fmt.Sprint(i)
		driverkit.Poll(t, func() bool { return k.d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw(body))) == nil })
		for got := ""; got != body; {
			select {
			case m := <-in:
				got = string(m.Payload) // perhaps once more what was acked last
				m.Ack()
			case <-time.After(20 * time.Second):
				t.Fatalf("%s did not come", body)
			}
		}
	}
	k.must(g.Close())
}
