package kafka_test

import (
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/conformance"
)

// On a Kafka that KAFKA_URL names, nothing is put in between either.
func TestConformance(t *testing.T) {
	url := broker.KafkaURL(t)
	h := onTopics(url)
	if os.Getenv("KAFKA_URL") == "" {
		p := broker.SharedKafka(t).Proxy()
		url = "kafka://" + p.Addr()
		h.Cut, h.Mend = p.Cut, p.Mend
		h.Freeze, h.Thaw = p.Swallow, p.Pass
		h.Deafen = func() { p.SwallowWho(fetching) }
		h.Goroutines = broker.Goroutines
	}
	h.Name = "kafka"
	h.Open = func(t testing.TB) transport.Driver { return open(t, url) }
	h.Patience = 20 * time.Second // a group takes its time to share a topic anew
	conformance.Run(t, h)
}

// fetching is a part of every fetch request of the driver that no other request has: it
// waits for one byte, takes 1 MiB, reads what is committed, and is of no session.
const fetching = "\x00\x00\x00\x01" + "\x00\x10\x00\x00" + "\x01" + "\x00\x00\x00\x00" + "\xff\xff\xff\xff"

// Connections are cut and frozen before the real broker.
func TestConformanceOnAFakeCluster(t *testing.T) {
	url := fakeURL(t)
	h := onTopics(url)
	h.Name = "kafka, on kfake"
	h.Open = func(t testing.TB) transport.Driver { return open(t, url) }
	h.Goroutines = []string{"github.com/twmb/franz-go/pkg/kfake."}
	conformance.Run(t, h)
}

// onTopics does what another client of the cluster can do to the topics.
func onTopics(url string) conformance.Harness {
	on := func(t testing.TB, topic string, do func(k kit)) {
		k := stranger(t, url)
		k.topic = topic
		do(k)
		k.c.Close() // now: it must not be taken for a goroutine that is left behind
	}
	return conformance.Harness{
		Trim: func(t testing.TB, topic string, keep int) {
			on(t, topic, func(k kit) {
				ends, err := k.admin.ListEndOffsets(t.Context(), topic)
				k.must(err)
				end, _ := ends.Lookup(topic, 0)
				k.trim(end.Offset - int64(keep))
			})
		},
		Recreate: func(t testing.TB, topic string) { on(t, topic, kit.recreate) },
		Poison: func(t testing.TB, topic string) {
			on(t, topic, func(k kit) {
				k.produce(&kgo.Record{Value: []byte("\xff\x00"), Headers: []kgo.RecordHeader{
					{Key: "_watermill_message_uuid", Value: []byte("one")}, {Key: "_watermill_message_uuid", Value: []byte("two")},
				}})
			})
		},
	}
}
