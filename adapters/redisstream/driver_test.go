package redisstream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	stock "github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/redisstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestEntriesAddedByHandAreUnderstood(t *testing.T) {
	fields := func(kv ...string) (h []domain.Field) {
		for i := 0; i < len(kv); i += 2 {
			h = append(h, domain.Field{Name: kv[i], Value: kv[i+1]})
		}
		return h
	}
	envelope := `{"to":"*","data":1}`
	for _, c := range []struct {
		name   string
		fields []string
		want   domain.Entry
	}{
		{"fields", []string{"to", "user:alice", "type", "order.paid", "data", `{"n":1}`},
			domain.Entry{Header: fields("to", "user:alice", "type", "order.paid"), Body: []byte(`{"n":1}`)}},
		{"payload beside to", []string{"payload", "x", "to", "*"}, domain.Entry{Header: fields("to", "*"), Body: []byte("x")}},
		{"data before payload", []string{"payload", "x", "to", "*", "data", "y"},
			domain.Entry{Header: fields("payload", "x", "to", "*"), Body: []byte("y")}},
		{"base64", []string{"to", "*", "data_base64", "eA=="}, domain.Entry{Header: fields("to", "*", "data_base64", "eA==")}},
		{"an envelope as payload", []string{"payload", envelope}, domain.Entry{Body: []byte(envelope)}},
		{"an envelope as data", []string{"data", envelope}, domain.Entry{Body: []byte(envelope)}},
		{"an envelope as message", []string{"message", envelope}, domain.Entry{Body: []byte(envelope)}},
		{"message beside to", []string{"to", "*", "message", "m"}, domain.Entry{Header: fields("to", "*", "message", "m")}},
		{"repeated names", []string{"to", "user:a", "to", "user:b", "data", "1", "x", "2", "x", "3"},
			domain.Entry{Header: fields("to", "user:a", "to", "user:b", "x", "2", "x", "3"), Body: []byte("1")}},
		{"repeated data", []string{"to", "user:a", "data", "1", "data", "2"},
			domain.Entry{Header: fields("to", "(the field data is there twice)", "data", "1", "data", "2")}},
		{"nothing known", []string{"a", "b"}, domain.Entry{Header: fields("a", "b")}},
		{"metadata that is none", []string{"_watermill_message_uuid", "u", "metadata", "\xc1", "payload", envelope},
			domain.Entry{UUID: "u", Header: fields("to", "(the field metadata cannot be decoded)", "metadata", "\xc1", "payload", envelope)}},
		{"no metadata", []string{"_watermill_message_uuid", "u", "payload", "p"}, domain.Entry{UUID: "u", Body: []byte("p")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t)
			f := k.follow("")
			k.CLI(append([]string{"XADD", "t", "*"}, c.fields...)...)
			if diff := cmp.Diff([]domain.Entry{c.want}, driverkit.WithoutLog(k.read(f, 1))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHostileEntriesNeverStopTheFeed(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	random := func(most int) string {
		b := make([]byte, r.IntN(most+1))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return string(b)
	}
	names := []string{"_watermill_message_uuid", "metadata", "payload", "data", "to", "message", "", "\xff"}
	const n = 700
	pipe := k.c.Pipeline()
	for i := range n {
		var values []string
		for range 1 + r.IntN(6) {
			name := names[r.IntN(len(names))]
			if r.IntN(3) == 0 {
				name = random(20)
			}
			values = append(values, name, random(1<<r.IntN(14)))
		}
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: "t", Values: values})
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: "t", Values: []string{"to", "*", "data", fmt.Sprint("good ", i)}})
	}
	// Metadata that announces more than there is.
	pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: "t", Values: []string{
		"_watermill_message_uuid", "u", "metadata", "\xdf\xff\xff\xff\xff\xdb\xff\xff\xff\xff", "payload", "p"}})
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := k.bodies(f, 2*n+1)
	for i := range n {
		if got[2*i+1] != fmt.Sprint("good ", i) {
			t.Fatalf("entry %d is %q", 2*i+1, got[2*i+1])
		}
	}
}

func TestTheStockPublisherIsUnderstood(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	p, err := stock.NewPublisher(stock.PublisherConfig{Client: k.Client()}, nil)
	k.must(err)
	m := message.NewMessage("u1", []byte("p1"))
	m.Metadata = message.Metadata{"to": "user:alice", "x": ""}
	k.must(p.Publish("t", m, message.NewMessage("u2", []byte("p2"))))
	want := []domain.Entry{
		{UUID: "u1", Header: []domain.Field{{Name: "to", Value: "user:alice"}, {Name: "x"}}, Body: []byte("p1")},
		{UUID: "u2", Body: []byte("p2")},
	}
	if diff := cmp.Diff(want, driverkit.WithoutLog(k.read(f, 2))); diff != "" {
		t.Error(diff)
	}
	k.must(p.Close())
}

func TestTheStockSubscriberUnderstandsUs(t *testing.T) {
	k := newKit(t)
	m := message.NewMessage("u1", []byte("p1"))
	m.Metadata = message.Metadata{"k": "v", transport.RawKey: "1"}
	k.publish(m)
	s, err := stock.NewSubscriber(stock.SubscriberConfig{
		Client: k.Client(), FanOutOldestId: "0", DisableIndefiniteInitialBlock: true,
	}, nil)
	k.must(err)
	msgs, err := s.Subscribe(t.Context(), "t")
	k.must(err)
	got := <-msgs
	got.Ack()
	if got.UUID != "u1" || string(got.Payload) != "p1" || !cmp.Equal(got.Metadata, message.Metadata{"k": "v"}) {
		t.Errorf("got %+v", got)
	}
	k.must(s.Close())
}

func TestARefusedRecordDoesNotStopTheOthers(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	k.must(k.c.Set(t.Context(), "string", "x", 0).Err())
	reserved := message.NewMessage("2", nil)
	reserved.Metadata.Set("_watermill_message_uuid", "x")
	errs := k.d.Publish(t.Context(), append(append(
		driverkit.Outgoing("t", message.NewMessage("1", []byte("1")), reserved),
		driverkit.Outgoing("string", message.NewMessage("3", nil))...),
		driverkit.Outgoing("t", message.NewMessage("4", []byte("4")))...))
	if len(errs) != 4 || errs[0] != nil || !errors.Is(errs[1], domain.ErrInvalid) || errs[3] != nil ||
		errs[2] == nil || errors.Is(errs[2], domain.ErrBusDown) {
		t.Fatalf("errors %v", errs)
	}
	k.want([]string{"1", "4"}, k.bodies(f, 2))
}

func TestAServerThatIsAwayIsABusThatIsDown(t *testing.T) {
	k := newKit(t)
	k.must(k.d.Ping(t.Context()))
	down := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := k.d.Follow(ctx, "t", "")
		errs := k.d.Publish(ctx, driverkit.Outgoing("t", message.NewMessage("1", nil), message.NewMessage("2", nil)))
		if len(errs) != 2 {
			t.Fatalf("Publish: %v", errs)
		}
		for _, err := range append(errs, err, k.d.Ping(ctx), k.d.(transport.Trimmer).Trim(ctx, "t")) {
			if !errors.Is(err, domain.ErrBusDown) {
				t.Errorf("error %v", err)
			}
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	k.Freeze()
	down()
	k.Kill()
	down()
}

func TestFollowingWhatIsNoStreamFails(t *testing.T) {
	k := newKit(t)
	k.must(k.c.Set(t.Context(), "t", "x", 0).Err())
	_, err := k.d.Follow(t.Context(), "t", "")
	if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") || errors.Is(err, domain.ErrBusDown) {
		t.Fatalf("error %v", err)
	}
}

func TestTrimDropsWhatIsOlderThanTheRetention(t *testing.T) {
	k := newKit(t)
	d := open(t, k.URL("redis-streams")+"?retention=1m")
	old := time.Now().Add(-2 * time.Minute).UnixMilli()
	var ids []string
	for i := range 1000 {
		ids = append(ids, fmt.Sprintf("%d-%d", old, i+1))
	}
	k.addAs(ids...)
	k.add(1, 10)
	trim := d.(transport.Trimmer)
	k.must(trim.Trim(t.Context(), "t"))
	k.must(trim.Trim(t.Context(), "there is none"))
	n, err := k.c.XLen(t.Context(), "t").Result()
	k.must(err)
	if n < 10 || n > 110 { // up to a node of the stream stays
		t.Fatalf("%d entries are left", n)
	}
	if k.c.Exists(t.Context(), "there is none").Val() != 0 {
		t.Error("Trim created a stream")
	}
}

func TestAGroupSharesATopicAndSurvivesPoison(t *testing.T) {
	k := newKit(t)
	a, b := k.group("g"), k.group("g")
	fromA, err := a.Subscribe(t.Context(), "t")
	k.must(err)
	fromB, err := b.Subscribe(t.Context(), "t")
	k.must(err)
	const n = 50
	for i := range n {
		k.CLI("XADD", "t", "*", "junk", fmt.Sprint(i))
		k.publish(message.NewMessage(watermill.NewULID(), []byte(fmt.Sprint(i))))
	}
	seen, poison := map[string]int{}, 0
	for len(seen) < n || poison < n {
		var m *message.Message
		select {
		case m = <-fromA:
		case m = <-fromB:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d messages, %d poison", len(seen), poison)
		}
		if m.Metadata.Get("junk") != "" {
			poison++
		} else {
			seen[string(m.Payload)]++
		}
		m.Ack()
	}
	for body, times := range seen {
		if times != 1 {
			t.Errorf("%s came %d times", body, times)
		}
	}
	k.must(a.Close())
	k.must(b.Close())
	k.must(k.d.Ping(t.Context())) // closing a group leaves the driver alone
}

func TestAGroupOutlivesAServerThatForgotIt(t *testing.T) {
	k := newKit(t)
	g := k.group("g")
	messages, err := g.Subscribe(t.Context(), "t")
	k.must(err)
	for _, body := range []string{"before", "after"} {
		driverkit.Poll(t, func() bool {
			return k.d.Publish(t.Context(), driverkit.Outgoing("t", message.NewMessage(body, []byte(body)))) == nil
		})
		select {
		case m := <-messages:
			if string(m.Payload) != body {
				t.Fatalf("got %q", m.Payload)
			}
			m.Ack()
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing came %s the restart", body)
		}
		if body == "before" {
			k.Kill()
			k.Restart()
		}
	}
	k.must(g.Close())
}

func (k kit) group(name string) message.Subscriber {
	k.t.Helper()
	s, err := k.d.(transport.GroupDriver).Group(name)
	k.must(err)
	return s
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	u, _ := url.Parse("redis-streams://u:hunter2@127.0.0.1:1/x?retention=-1s&clustr=true")
	_, err := redisstream.Open(t.Context(), u, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("opened")
	}
	for _, want := range []string{"clustr", "retention", `"x"`, "sentinel_master"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is in: %v", err)
	}
}

func TestWhatTheServerRefusesIsNoTimeout(t *testing.T) {
	k := newKit(t)
	m := message.NewMessage("id-1", []byte("x"))
	bus := transport.New(k.d, transport.Config{})
	defer func() { _ = bus.Close() }()
	refused := func(why string) {
		t.Helper()
		err := bus.Publish("t", m)
		if !errors.Is(err, domain.ErrBusRefused) || !errors.Is(err, domain.ErrBusDown) || !strings.Contains(err.Error(), why) {
			t.Errorf("want a refusal for %s: %v", why, err)
		}
	}
	if err := k.c.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	refused("OOM")
	if err := k.c.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := k.c.Set(t.Context(), "t", "no stream", 0).Err(); err != nil {
		t.Fatal(err)
	}
	refused("WRONGTYPE")
	k.Kill()
	if err := bus.Publish("t", m); errors.Is(err, domain.ErrBusRefused) || !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("a server that is gone: %v", err)
	}
}
