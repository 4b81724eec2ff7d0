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
	// readCommitted hides what transactions have not committed, or took back.
	readCommitted = 1
	// fetchBytes is about how many bytes one fetch brings at most; a single
	// batch that is larger comes whole.
	fetchBytes = 1 << 20
	// fetchByIDVersion is the version of fetch from which on it names topics by id.
	fetchByIDVersion = 13
)

// A fetcher reads one topic from its leader. It asks for explicit offsets of
// that very topic under that very leader, so whatever changes there ends in an
// error: there is nothing to reset to.
type fetcher struct {
	topic        topic
	leader       *kgo.Broker
	decompressor kgo.Decompressor
	replyTimeout time.Duration
}

// fetcher returns a fetcher that shares a client's connection to the leader.
func (d *Driver) fetcher(t topic) *fetcher {
	return &fetcher{topic: t, leader: d.client.Broker(int(t.leader)), decompressor: decompressorOf(d.client), replyTimeout: d.server.replyTimeout}
}

// dial returns a fetcher with a client, and so a connection, of its own: a
// broker serves the requests on a connection one by one, and those of a feed
// wait for records. The caller closes the client.
func (d *Driver) dial(t topic) (*fetcher, *kgo.Client, error) {
	client, err := d.server.client([]string{t.addr})
	if err != nil {
		return nil, nil, err
	}
	return &fetcher{topic: t, leader: client.SeedBrokers()[0], decompressor: decompressorOf(client), replyTimeout: d.server.replyTimeout}, client, nil
}

// decompressorOf returns a client's decompressor, which is bounded as server says.
func decompressorOf(c *kgo.Client) kgo.Decompressor {
	bounded, _ := c.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	return bounded
}

// A fetched is what one fetch brought.
type fetched struct {
	records []*kgo.Record // in order, from the offset asked for on
	next    int64         // the offset to go on from: all before it was read, or is no record
	stable  int64         // what lies from here on is not committed
}

// fetch asks for what there is from an offset on, and waits for it for as long
// as wait.
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
