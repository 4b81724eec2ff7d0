package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// readCommitted is the isolation level that hides records whose transaction is open or
	// was aborted.
	readCommitted = 1
	// fetchBytes is about how many bytes one fetch brings at most. A single larger batch
	// comes whole.
	fetchBytes = 1 << 20
	// fetchByIDVersion is the first version of the fetch request that names topics by id.
	fetchByIDVersion = 13
)

// A fetcher reads one topic from its leader. It asks for explicit offsets of this topic id
// under this leader epoch, so every change of either becomes an error, and nothing is
// skipped.
type fetcher struct {
	topic        topic
	leader       *kgo.Broker
	decompressor kgo.Decompressor
	replyTimeout time.Duration
}

// sharedFetcher returns a fetcher that uses the Driver's connection to the leader.
func (d *Driver) sharedFetcher(t topic) *fetcher {
	return &fetcher{
		topic: t, leader: d.client.Broker(int(t.leader)),
		decompressor: decompressorOf(d.client), replyTimeout: d.cluster.replyTimeout,
	}
}

// dedicatedFetcher returns a fetcher with a client, and so a connection, of its own: a
// broker serves the requests of a connection one by one, and a feed's requests wait for
// records. The caller closes the client.
func (d *Driver) dedicatedFetcher(t topic) (*fetcher, *kgo.Client, error) {
	client, err := d.cluster.newClient([]string{t.addr})
	if err != nil {
		return nil, nil, err
	}
	return &fetcher{
		topic: t, leader: client.SeedBrokers()[0],
		decompressor: decompressorOf(client), replyTimeout: d.cluster.replyTimeout,
	}, client, nil
}

// decompressorOf returns a client's decompressor, which never makes more than maxInflated
// bytes of a batch.
func decompressorOf(c *kgo.Client) kgo.Decompressor {
	bounded, _ := c.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	return bounded
}

// fetched is what one fetch has brought.
type fetched struct {
	records []*kgo.Record // in order, from the offset asked for on
	next    int64         // the offset to go on from: those before it were read, or hold no record
	stable  int64         // the records from this offset on are not committed
}

// fetch asks for the records from an offset on. The broker waits at most as long as wait
// until there is one.
func (f *fetcher) fetch(ctx context.Context, from int64, wait time.Duration) (fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+f.replyTimeout)
	defer cancel()
	answer, err := f.leader.Request(ctx, f.request(from, wait))
	if err != nil {
		return fetched{}, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return fetched{}, err
	}
	if resp.Version < fetchByIDVersion {
		return fetched{}, errTooOld
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].TopicID != f.topic.id {
		return fetched{}, errUnexpectedAnswer
	}
	part := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
		return fetched{}, err
	}
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: f.topic.name,
	}, part, f.decompressor, nil)
	if got.Err != nil {
		return fetched{}, fmt.Errorf("records from offset %d cannot be read: %w", from, got.Err)
	}
	return fetched{got.Records, next, part.LastStableOffset}, nil
}

func (f *fetcher) request(from int64, wait time.Duration) *kmsg.FetchRequest {
	p := kmsg.NewFetchRequestTopicPartition()
	p.CurrentLeaderEpoch, p.FetchOffset, p.PartitionMaxBytes = f.topic.epoch, from, fetchBytes
	asked := kmsg.NewFetchRequestTopic()
	asked.Topic, asked.TopicID = f.topic.name, f.topic.id
	asked.Partitions = append(asked.Partitions, p)
	req := kmsg.NewPtrFetchRequest()
	req.Topics = append(req.Topics, asked)
	req.IsolationLevel, req.SessionEpoch = readCommitted, -1
	req.MinBytes, req.MaxBytes, req.MaxWaitMillis = 1, fetchBytes, int32(wait.Milliseconds())
	return req
}
