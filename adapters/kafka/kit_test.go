package kafka_test

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
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

	"github.com/fanfarebus/fanfare/adapters/kafka"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestMain(m *testing.M) { driverkit.VerifyNoLeaks(withBroker{m}) }

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
	return driverkit.Open(t, kafka.Open, rawURL)
}

func openLogged(t testing.TB, rawURL string) (transport.Driver, *driverkit.Log) {
	t.Helper()
	return driverkit.OpenLogged(t, kafka.Open, rawURL)
}

func (k kit) log() transport.LogDriver { return k.d.(transport.LogDriver) }

// beginning is the position before all records.
const beginning = domain.Position("\x00\x00\x00\x00\x00\x00\x00\x00")

// at is the position after that number of offsets.
func at(offset int64) domain.Position {
	return domain.Position(binary.BigEndian.AppendUint64(nil, uint64(offset)))
}

func (k kit) follow(after domain.Position) transport.Feed {
	k.t.Helper()
	return driverkit.Follow(k.t, k.d, k.topic, after)
}

func (k kit) since(from time.Time) transport.Feed {
	k.t.Helper()
	f, err := k.log().FollowSince(k.t.Context(), k.topic, from)
	k.must(err)
	k.t.Cleanup(func() { _ = f.Close() })
	return f
}

// refused follows after a position and wants a gap.
func (k kit) refused(after domain.Position, want domain.GapReason) {
	k.t.Helper()
	driverkit.WantRefused(k.t, k.d, k.topic, after, want)
}

// broken reads until the feed is over and wants a gap, having read n records
// before it.
func (k kit) broken(f transport.Feed, want domain.GapReason, n int) {
	k.t.Helper()
	driverkit.WantGap(k.t, driverkit.ReadToEnd(k.t, f, n), want)
}

func (k kit) read(f transport.Feed, n int) []domain.Entry {
	k.t.Helper()
	return driverkit.ReadLog(k.t, f, n)
}

// bodies reads n records and returns their bodies.
func (k kit) bodies(f transport.Feed, n int) []string {
	k.t.Helper()
	return driverkit.Bodies(k.read(f, n))
}

func (k kit) publish(msgs ...*message.Message) {
	k.t.Helper()
	driverkit.Publish(k.t, k.d, k.topic, msgs...)
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
	driverkit.Poll(k.t, func() bool {
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
	driverkit.Poll(k.t, func() bool {
		topics, err := k.admin.ListTopics(k.t.Context(), k.topic)
		return err == nil && !topics.Has(k.topic)
	})
	k.c.PurgeTopicsFromClient(k.topic)
}

// recreate deletes the topic and creates it anew, unless a reader that follows it
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
	driverkit.Poll(k.t, func() bool { return id() != old })
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
