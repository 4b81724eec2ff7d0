package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Times that stand for offsets in a question for an offset.
const (
	latestOffset   = -1 // the offset after the last committed record
	earliestOffset = -2 // the log's first offset
)

// offset asks the leader for the offset of the first record whose time is at or later, in
// milliseconds; it returns -1 if there is none. at may also be latestOffset or
// earliestOffset.
func (d *Driver) offset(ctx context.Context, t topic, at int64) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	// Without a timeout the client would wait for half a minute on a connection that brings
	// nothing any more, and with it all requests behind this one.
	req.TimeoutMillis = millisLeft(ctx, d.cluster.replyTimeout)
	req.ReplicaID = -1
	req.IsolationLevel = readCommitted
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.CurrentLeaderEpoch, p.Timestamp = t.epoch, at
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic = t.name
	asked.Partitions = append(asked.Partitions, p)
	req.Topics = append(req.Topics, asked)
	resp, err := d.client.Broker(int(t.leader)).Request(ctx, req)
	if err != nil {
		return 0, err
	}
	listed := resp.(*kmsg.ListOffsetsResponse).Topics
	if len(listed) != 1 || len(listed[0].Partitions) != 1 {
		return 0, errUnexpectedAnswer
	}
	if err := kerr.ErrorForCode(listed[0].Partitions[0].ErrorCode); err != nil {
		return 0, err
	}
	return listed[0].Partitions[0].Offset, nil
}

// epochEnd asks the leader for the offset after the last record of a leader epoch
// (KIP-320); it returns -1 if the log holds no record of it.
func (d *Driver) epochEnd(ctx context.Context, t topic, epoch int32) (int64, error) {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.CurrentLeaderEpoch, p.LeaderEpoch = t.epoch, epoch
	asked := kmsg.NewOffsetForLeaderEpochRequestTopic()
	asked.Topic = t.name
	asked.Partitions = append(asked.Partitions, p)
	req.Topics = append(req.Topics, asked)
	resp, err := d.client.Broker(int(t.leader)).Request(ctx, req)
	if err != nil {
		return 0, err
	}
	ended := resp.(*kmsg.OffsetForLeaderEpochResponse).Topics
	if len(ended) != 1 || len(ended[0].Partitions) != 1 {
		return 0, errUnexpectedAnswer
	}
	if err := kerr.ErrorForCode(ended[0].Partitions[0].ErrorCode); err != nil {
		return 0, err
	}
	return ended[0].Partitions[0].EndOffset, nil
}

// millisLeft is how many milliseconds ctx lasts, but not more than most.
func millisLeft(ctx context.Context, most time.Duration) int32 {
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline))
	}
	return int32(max(most, time.Millisecond).Milliseconds())
}
