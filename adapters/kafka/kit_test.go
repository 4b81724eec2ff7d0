package kafka_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/kafka"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
)

// Watermill's suite reads from several subscribers through a multiplier of its
// own, which leaves its goroutines behind.
func TestMain(m *testing.M) {
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe"
	goleak.VerifyTestMain(withBroker{m}, goleak.IgnoreAnyFunction(multiplier+".func2"), goleak.IgnoreAnyFunction(multiplier+".func3"))
}

// withBroker stops the tests' broker before somebody looks for what they left behind.
type withBroker struct{ *testing.M }

func (t withBroker) Run() int {
	defer broker.StopSharedKafka()
	return t.M.Run()
}

// A kit is a cluster, our driver on it, a topic of the test's own, and a foreign
// client.
type kit struct {
	t     testing.TB
	url   string
	topic string
	d     transport.Driver
	c     *kgo.Client
	admin *kadm.Client
}

// onEach runs a test on a fake cluster and on a real one.
func onEach(t *testing.T, test func(k kit)) {
	t.Run("fake", func(t *testing.T) { test(newKit(t, fakeURL(t))) })
	t.Run("real", func(t *testing.T) { test(newKit(t, broker.KafkaURL(t))) })
}

// fakeURL starts a fake cluster.
func fakeURL(t testing.TB, opts ...kfake.Opt) string {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return "kafka://" + c.ListenAddrs()[0]
}

func newKit(t testing.TB, rawURL string) kit {
	t.Helper()
	k := stranger(t, rawURL)
	k.d = open(t, rawURL)
	return k
}

// stranger is a kit without a driver.
func stranger(t testing.TB, rawURL string) kit {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(u.Host), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return kit{t, rawURL, uniqueTopic(), nil, c, kadm.NewClient(c)}
}

func uniqueTopic() string { return "test." + strings.ToLower(rand.Text()[:12]) }

func open(t testing.TB, rawURL string) transport.Driver {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := kafka.Open(t.Context(), u, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func (k kit) log() transport.LogDriver { return k.d.(transport.LogDriver) }

// beginning is the position before all records.
const beginning = domain.Position("\x00\x00\x00\x00\x00\x00\x00\x00")

// at is the position after so many offsets.
func at(offset int64) domain.Position {
	return domain.Position(binary.BigEndian.AppendUint64(nil, uint64(offset)))
}

func (k kit) follow(after domain.Position) transport.Feed {
	k.t.Helper()
	f, err := k.d.Follow(k.t.Context(), k.topic, after)
	k.must(err)
	k.t.Cleanup(func() { _ = f.Close() })
	return f
}

func (k kit) since(from time.Time) transport.Feed {
	k.t.Helper()
	f, err := k.log().FollowSince(k.t.Context(), k.topic, from)
	k.must(err)
	k.t.Cleanup(func() { _ = f.Close() })
	return f
}

// refused follows after a position and wants a break.
func (k kit) refused(after domain.Position, want domain.GapReason) {
	k.t.Helper()
	f, err := k.d.Follow(k.t.Context(), k.topic, after)
	if err == nil {
		_ = f.Close()
	}
	wantBreak(k.t, err, want)
}

// broken reads until the feed is over and wants a break, having read n records
// before it.
func (k kit) broken(f transport.Feed, want domain.GapReason, n int) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	for {
		batch, err := f.Read(ctx)
		if err != nil {
			wantBreak(k.t, err, want)
			if n != 0 {
				k.t.Fatalf("%d records fewer than wanted before the break", n)
			}
			if _, again := f.Read(ctx); again == nil {
				k.t.Fatal("a feed went on after its break")
			}
			return
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
	ctx, cancel := context.WithTimeout(k.t.Context(), 30*time.Second)
	defer cancel()
	var all []domain.Entry
	for len(all) < n {
		batch, err := f.Read(ctx)
		if err != nil {
			k.t.Fatalf("after %d of %d records: %v", len(all), n, err)
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

// bodies reads n records and returns their bodies.
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

// create creates the topic as a stranger would.
func (k kit) create(partitions int32, configs ...string) {
	k.t.Helper()
	all := make(map[string]*string)
	for _, c := range configs {
		name, value, _ := strings.Cut(c, "=")
		all[name] = &value
	}
	_, err := k.admin.CreateTopic(k.t.Context(), partitions, 1, all, k.topic)
	k.must(err)
	k.settled()
}

// settled waits until the broker knows the topic.
func (k kit) settled() {
	k.t.Helper()
	poll(k.t, func() bool {
		listed, err := k.admin.ListEndOffsets(k.t.Context(), k.topic)
		return err == nil && listed.Error() == nil
	})
}

// add produces records whose values are the given numbers, from first to last.
func (k kit) add(first, last int) (values []string) {
	k.t.Helper()
	var records []*kgo.Record
	for i := first; i <= last; i++ {
		values = append(values, fmt.Sprint(i))
		records = append(records, &kgo.Record{Topic: k.topic, Value: []byte(fmt.Sprint(i))})
	}
	k.produce(records...)
	return values
}

func (k kit) produce(records ...*kgo.Record) {
	k.t.Helper()
	for _, r := range records {
		r.Topic = k.topic
	}
	k.must(k.c.ProduceSync(k.t.Context(), records...).FirstErr())
}

// trim drops all records before an offset.
func (k kit) trim(before int64) {
	k.t.Helper()
	offsets := make(kadm.Offsets)
	offsets.AddOffset(k.topic, 0, before, -1)
	done, err := k.admin.DeleteRecords(k.t.Context(), offsets)
	k.must(err)
	k.must(done.Error())
}

func (k kit) remove() {
	k.t.Helper()
	_, err := k.admin.DeleteTopic(k.t.Context(), k.topic)
	k.must(err)
	poll(k.t, func() bool {
		topics, err := k.admin.ListTopics(k.t.Context(), k.topic)
		return err == nil && !topics.Has(k.topic)
	})
	k.c.PurgeTopicsFromClient(k.topic)
}

// recreate deletes the topic and creates it anew, unless somebody who follows it
// was faster.
func (k kit) recreate() {
	k.t.Helper()
	id := func() kadm.TopicID {
		topics, err := k.admin.ListTopics(k.t.Context(), k.topic)
		k.must(err)
		return topics[k.topic].ID
	}
	old := id()
	_, err := k.admin.DeleteTopic(k.t.Context(), k.topic)
	k.must(err)
	poll(k.t, func() bool { return id() != old })
	k.c.PurgeTopicsFromClient(k.topic)
	if _, err = k.admin.CreateTopic(k.t.Context(), 1, 1, nil, k.topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		k.must(err)
	}
	k.settled()
}

func (k kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k kit) publish(msgs ...*message.Message) {
	k.t.Helper()
	k.must(errors.Join(k.d.Publish(k.t.Context(), on(k.topic, msgs...))...))
}

func on(topic string, msgs ...*message.Message) []transport.Outgoing {
	records := make([]transport.Outgoing, len(msgs))
	for i, m := range msgs {
		records[i] = transport.Outgoing{Topic: topic, Message: m}
	}
	return records
}

func poll(t testing.TB, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
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
