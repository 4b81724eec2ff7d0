package kafka_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fanfarebus/fanfare/adapters/kafka"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func newMessage(uuid, body string, metadata ...string) *message.Message {
	m := message.NewMessage(uuid, []byte(body))
	for i := 0; i < len(metadata); i += 2 {
		m.Metadata[metadata[i]] = metadata[i+1]
	}
	return m
}

func fields(kv ...string) (h []domain.Field) {
	for i := 0; i < len(kv); i += 2 {
		h = append(h, domain.Field{Name: kv[i], Value: kv[i+1]})
	}
	return h
}

func TestPublishedMessagesComeBackWhole(t *testing.T) {
	onEach(t, func(k kit) {
		f := k.follow("")
		before := time.Now().Add(-2 * time.Second)
		raw := newMessage("id-2", `{"to":"*"}`, transport.RawKey, "1")
		k.publish(
			newMessage("id-1", "\x00\xff{", "b", "2", "a", "\xff"), raw,
			newMessage("id-3", "x", transport.RawKey, "1", "fanfare.origin", "\x00\x01\xff"),
			message.NewMessage("", nil))
		got := k.read(f, 4)
		if at := got[0].Time; at.Before(before) || at.After(time.Now().Add(2*time.Second)) {
			k.t.Errorf("time %v", at)
		}
		want := []domain.Entry{
			{UUID: "id-1", Header: fields("a", "\xff", "b", "2"), Body: []byte("\x00\xff{")},
			{Body: []byte(`{"to":"*"}`)},
			{UUID: "id-3", Header: fields("fanfare.origin", "\x00\x01\xff"), Body: []byte("x")},
			{},
		}
		if diff := cmp.Diff(want, driverkit.WithoutLog(got)); diff != "" {
			k.t.Error(diff)
		}
		if raw.Metadata.Get(transport.RawKey) == "" {
			k.t.Error("Publish changed the message")
		}
	})
}

func TestRecordsOfStrangersAreUnderstood(t *testing.T) {
	onEach(t, func(k kit) {
		f := k.follow("")
		header := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
		k.produce(
			&kgo.Record{Value: []byte(`{"n":1}`), Headers: []kgo.RecordHeader{header("to", "user:alice"), header("type", "t"), header("to", "user:bob")}},
			&kgo.Record{Key: []byte("key"), Value: []byte(`{"to":"*","data":1}`)},
			&kgo.Record{Value: []byte("p"), Headers: []kgo.RecordHeader{header("x", ""), header("_watermill_message_uuid", "u")}},
			&kgo.Record{}, // a tombstone
			&kgo.Record{Headers: []kgo.RecordHeader{header("to", "*"), header("id", "1")}},
		)
		want := []domain.Entry{
			{Header: fields("to", "user:alice", "type", "t", "to", "user:bob"), Body: []byte(`{"n":1}`)},
			{Body: []byte(`{"to":"*","data":1}`)},
			{UUID: "u", Header: fields("x", ""), Body: []byte("p")},
			{},
			{Header: fields("to", "(the record has no value)", "id", "1")}, // no message without data
		}
		if diff := cmp.Diff(want, driverkit.WithoutLog(k.read(f, 5))); diff != "" {
			k.t.Error(diff)
		}
	})
}

func TestEveryCompressionIsWrittenAndRead(t *testing.T) {
	onEach(t, func(k kit) {
		f := k.follow("")
		text := strings.Repeat("again and ", 1000)
		for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			d := open(k.t, k.url+"?compression="+name)
			k.must(errors.Join(d.Publish(k.t.Context(), driverkit.Outgoing(k.topic, newMessage("", text+name)))...))
			k.want([]string{text + name}, k.bodies(f, 1))
		}
	})
}

func TestManyRecordsGoInOrderInBatchesThatTheTopicTakes(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1, "max.message.bytes=20000")
		f := k.follow("")
		var msgs []*message.Message
		var want []string
		for i := range 300 {
			body := fmt.Sprint(i, strings.Repeat("x", 1000))
			if i == 150 {
				body = strings.Repeat("y", 30000)
			} else {
				want = append(want, body)
			}
			msgs = append(msgs, newMessage("", body, transport.RawKey, "1"))
		}
		errs := k.d.Publish(k.t.Context(), driverkit.Outgoing(k.topic, msgs...))
		for i, err := range errs {
			if (i == 150) != errors.Is(err, domain.ErrTooLarge) || i != 150 && err != nil {
				k.t.Errorf("record %d: %v", i, err)
			}
		}
		if len(errs) != 300 {
			k.t.Fatalf("%d results", len(errs))
		}
		k.want(want, k.bodies(f, 299))
	})
}

func TestARefusedRecordDoesNotStopTheOthers(t *testing.T) {
	onEach(t, func(k kit) {
		f := k.follow("")
		records := append(driverkit.Outgoing(k.topic, newMessage("", "1"), newMessage("2", "2", "_watermill_message_uuid", "x"), newMessage("", "3")),
			driverkit.Outgoing(k.topic+".other", newMessage("", "4"))...)
		errs := k.d.Publish(k.t.Context(), records)
		if len(errs) != 4 || errs[0] != nil || !errors.Is(errs[1], domain.ErrInvalid) || errs[2] != nil || errs[3] != nil {
			k.t.Fatalf("errors %v", errs)
		}
		k.want([]string{"1", "3"}, k.bodies(f, 2))
	})
}

func TestATopicIsCreatedSoThatRetentionWorks(t *testing.T) {
	onEach(t, func(k kit) {
		d := open(k.t, k.url+"?retention=24h&replicas=1")
		k.must(errors.Join(d.Publish(k.t.Context(), driverkit.Outgoing(k.topic, newMessage("", "1")))...))
		k.settled()
		topics, err := k.admin.ListTopics(k.t.Context(), k.topic)
		k.must(err)
		if n := len(topics[k.topic].Partitions); n != 1 {
			k.t.Errorf("%d partitions", n)
		}
		all, err := k.admin.DescribeTopicConfigs(k.t.Context(), k.topic)
		k.must(err)
		configs, err := all.On(k.topic, nil)
		k.must(err)
		got := make(map[string]string)
		for _, c := range configs.Configs {
			got[c.Key] = c.MaybeValue()
		}
		for name, want := range map[string]string{
			"retention.ms": "86400000", "segment.ms": "7200000", "message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete",
		} {
			if got[name] != want {
				k.t.Errorf("%s is %q, want %s", name, got[name], want)
			}
		}
	})
}

func TestATopicThatIsThereIsNotChanged(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1, "retention.ms=12345678")
		k.publish(newMessage("", "1"))
		k.follow("")
		all, err := k.admin.DescribeTopicConfigs(k.t.Context(), k.topic)
		k.must(err)
		configs, _ := all.On(k.topic, nil)
		for _, c := range configs.Configs {
			if c.Key == "retention.ms" && c.MaybeValue() != "12345678" {
				k.t.Errorf("retention.ms is %s", c.MaybeValue())
			}
		}
	})
}

func TestAMissingTopicThatMayNotBeCreatedSaysWhatToDo(t *testing.T) {
	onEach(t, func(k kit) {
		d := open(k.t, k.url+"?create=false&retention=2h&replicas=3")
		_, err := d.Follow(k.t.Context(), k.topic, "")
		for _, err := range append(d.Publish(k.t.Context(), driverkit.Outgoing(k.topic, newMessage("", "1"))), err) {
			for _, want := range []string{"--create --topic " + k.topic, "--partitions 1", "retention.ms=7200000", "--replication-factor 3"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					k.t.Errorf("%v lacks %q", err, want)
				}
			}
		}
	})
}

func TestATopicOfMorePartitionsIsRefused(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(3)
		_, err := k.d.Follow(k.t.Context(), k.topic, "")
		for _, err := range append(k.d.Publish(k.t.Context(), driverkit.Outgoing(k.topic, newMessage("", "1"))), err) {
			if !errors.Is(err, domain.ErrUnsupported) || !strings.Contains(err.Error(), "3 partitions") || !strings.Contains(err.Error(), "--partitions 1") {
				k.t.Errorf("error %v", err)
			}
		}
	})
}

func TestABrokerThatIsAwayIsABusThatIsDown(t *testing.T) {
	s := broker.SharedKafka(t)
	k := newKit(t, s.URL())
	k.publish(newMessage("", "1"))
	k.must(k.d.Ping(t.Context()))
	down := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := k.d.Follow(ctx, k.topic, "")
		errs := k.d.Publish(ctx, driverkit.Outgoing(k.topic, newMessage("1", ""), newMessage("2", "")))
		if len(errs) != 2 {
			t.Fatalf("Publish: %v", errs)
		}
		_, err2 := k.log().Tail(ctx, k.topic)
		_, err3 := k.log().FollowSince(ctx, k.topic, start)
		for _, err := range append(errs, err, err2, err3, k.d.Ping(ctx)) {
			if !errors.Is(err, domain.ErrBusDown) {
				t.Errorf("error %v", err)
			}
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	s.Freeze()
	down()
	s.Kill()
	down()
}

// Whatever transactions leave in the log is neither a message nor a gap.
func TestTransactionsAreReadWhenTheyAreCommitted(t *testing.T) {
	onEach(t, func(k kit) {
		f := k.follow("")
		u, _ := url.Parse(k.url)
		c, err := kgo.NewClient(kgo.SeedBrokers(u.Host), kgo.TransactionalID(k.topic), kgo.DefaultProduceTopic(k.topic))
		k.must(err)
		defer c.Close()
		for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
			k.must(c.BeginTransaction())
			k.must(c.ProduceSync(k.t.Context(), kgo.StringRecord(fmt.Sprint(i, " a")), kgo.StringRecord(fmt.Sprint(i, " b"))).FirstErr())
			k.must(c.EndTransaction(k.t.Context(), end))
		}
		got := k.read(f, 4)
		var bodies []string
		for _, e := range got {
			bodies = append(bodies, string(e.Body))
		}
		k.want([]string{"0 a", "0 b", "2 a", "2 b"}, bodies)
		last := got[3].Position
		for range 2 {
			if tail, err := open(k.t, k.url).(transport.LogDriver).Tail(k.t.Context(), k.topic); err != nil || tail != last {
				k.t.Errorf("the tail is %x, %v; the last record's position is %x", tail, err, last)
			}
		}
		// Who follows learns of the marks by passing them.
		more := make(chan []domain.Entry, 1)
		go func() {
			batch, _ := f.Read(k.t.Context())
			more <- batch
		}()
		driverkit.Poll(k.t, func() bool {
			tail, err := k.log().Tail(k.t.Context(), k.topic)
			return err == nil && tail == last
		})
		k.want(k.add(5, 5), k.bodies(k.follow(last), 1))
		if batch := <-more; len(batch) != 1 || string(batch[0].Body) != "5" {
			k.t.Errorf("behind the marks came %d records", len(batch))
		}
	})
}

func TestCheckTopicIsAsKafkaDoes(t *testing.T) {
	d := open(t, "kafka://127.0.0.1:1")
	for name, ok := range map[string]bool{
		"fanfare.orders": true, "A-z_0.9": true, strings.Repeat("x", 249): true,
		"": false, ".": false, "..": false, "a:b": false, "a b": false, "ä": false, "a/b": false, strings.Repeat("x", 250): false,
	} {
		if err := d.CheckTopic(name); (err == nil) != ok || err != nil && !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	for rawURL, want := range map[string]string{
		"kafka://u:hunter2@h?clustr=true":         "clustr",
		"kafka://u:hunter2@h?retention=-1s":       "retention",
		"kafka://u:hunter2@h?sasl=kerberos":       "scram-sha-256",
		"kafka://u:hunter2@h?acks=none":           "acks",
		"kafka://u:hunter2@h?compression=rar":     "zstd",
		"kafka://u:hunter2@h/0":                   "path",
		"kafka://u:hunter2@":                      "host",
		"kafka://u:hunter2@h?tls_ca=/no/such.pem": "tls_ca",
		"kafka://h?sasl=plain":                    "user",
	} {
		u, err := url.Parse(rawURL)
		if err != nil {
			t.Fatal(err)
		}
		_, err = kafka.Open(t.Context(), u, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
}

func TestUsersLogIn(t *testing.T) {
	for mechanism, name := range map[string]string{"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			fake := fakeURL(t, kfake.EnableSASL(), kfake.Superuser(name, "alice", "p@ss"))
			at := func(password string) transport.Driver {
				return open(t, strings.Replace(fake, "//", "//alice:"+url.QueryEscape(password)+"@", 1)+"?sasl="+mechanism)
			}
			good := at("p@ss")
			if err := good.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			f, err := good.Follow(t.Context(), "t", "")
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			if err := at("wrong").Ping(t.Context()); !errors.Is(err, domain.ErrBusDown) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}

func TestConnectionsAreEncrypted(t *testing.T) {
	ca, key := driverkit.Certificate(t)
	cert, err := tls.LoadX509KeyPair(ca, key)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Replace(fakeURL(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}})), "127.0.0.1", "localhost", 1)
	if err := open(t, at+"?tls_ca="+ca+"&tls_server_name=127.0.0.1").Ping(t.Context()); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	for _, params := range []string{"", "?tls=true", "?tls_ca=" + ca + "&tls_server_name=elsewhere"} {
		if err := open(t, at+params).Ping(t.Context()); !errors.Is(err, domain.ErrBusDown) {
			t.Errorf("%q: %v", params, err)
		}
	}
}
