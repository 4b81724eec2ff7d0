package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fanfarebus/fanfare/test/broker"
)

// withKafka publishes with a client of Kafka, by turns with the targets in
// headers, as kcat -H does, and as an envelope.
func withKafka(s *broker.KafkaServer) publisher {
	return func(letters []*letter) error {
		c, err := kgo.NewClient(kgo.SeedBrokers(s.Addr()), kgo.DefaultProduceTopic("fanfare.orders"))
		if err != nil {
			return err
		}
		defer c.Close()
		for i, l := range letters {
			l.id = fmt.Sprintf("kafka-%d", i)
			r := kgo.StringRecord(l.json())
			if i%2 == 0 {
				data, _ := json.Marshal(l.data())
				to := []byte(l.to[0])
				if len(l.to) > 1 {
					to, _ = json.Marshal(l.to)
				}
				r = kgo.SliceRecord(data)
				r.Headers = []kgo.RecordHeader{{Key: "to", Value: to}, {Key: "type", Value: []byte("test.letter")}, {Key: "id", Value: []byte(l.id)}}
			}
			if err := c.ProduceSync(context.Background(), r).FirstErr(); err != nil {
				return fmt.Errorf("kafka: %v: %w", l.label, err)
			}
		}
		return nil
	}
}

// logOfKafka returns the place of every label in the topic.
func logOfKafka(t *testing.T, s *broker.KafkaServer) map[label]int {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(s.Addr()), kgo.ConsumeTopics("fanfare.orders"), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	log := make(map[label]int)
	for {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			var envelope struct{ Data json.RawMessage }
			l := readLabel(r.Value)
			if l.P == "" && json.Unmarshal(r.Value, &envelope) == nil {
				l = readLabel(envelope.Data)
			}
			if _, twice := log[l]; !twice { // a repetition does not count
				log[l] = int(r.Offset)
			}
			if l.P == "last" {
				return log
			}
		}
	}
}
