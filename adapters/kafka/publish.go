package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// publishAtOnce is how many topics of one call are published to at the same time.
const publishAtOnce = 16

// Publish sends the records of each topic in order, in as few batches as possible, one
// after the other. It never sends a batch again that a broker may have taken.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	var names []string // of the topics, in the order of their first records
	indexes := make(map[string][]int)
	for i, r := range records {
		if indexes[r.Topic] == nil {
			names = append(names, r.Topic)
		}
		indexes[r.Topic] = append(indexes[r.Topic], i)
	}
	errs := slices.Repeat([]error{errUnanswered}, len(records))
	var sending errgroup.Group
	sending.SetLimit(publishAtOnce)
	for _, name := range names {
		sending.Go(func() error { d.publishOn(ctx, name, records, indexes[name], errs); return nil })
	}
	_ = sending.Wait() // the errors are in errs
	if errors.Join(errs...) == nil {
		return nil
	}
	return errs
}

// A pendingRecord is a record that is not confirmed yet, and its index in a call.
type pendingRecord struct {
	index  int
	record kmsg.Record
}

// publishOn publishes the records of one topic, whose indexes it is given, and sets their
// errors, and where the log has them. A record has no error only if the broker has confirmed the batch that it was in.
func (d *Driver) publishOn(
	ctx context.Context, name string, records []transport.Outgoing, indexes []int, errs []error,
) {
	fail := func(i int, err error) {
		errs[i] = fmt.Errorf("kafka: %w", classifyRefusal(err)) // the Transport names the topic
	}
	left := make([]pendingRecord, 0, len(indexes))
	for _, i := range indexes {
		r, err := encode(records[i].Message)
		if err != nil {
			fail(i, err)
			continue
		}
		left = append(left, pendingRecord{i, r})
	}
	maxSize := maxBatch
	for len(left) > 0 {
		n, size := fitBatch(left, maxSize)
		at, err := d.send(ctx, name, left[:n])
		switch {
		case isTooLarge(err) && n > 1: // the topic takes smaller batches only
			maxSize = size / 2
			continue
		case isTooLarge(err):
			fail(left[0].index, err)
		case err != nil:
			// The batch may still come. The records after it must not overtake it.
			for _, p := range left {
				fail(p.index, err)
			}
			return
		default:
			all := at.positions(n)
			for i, p := range left[:n] {
				errs[p.index] = nil
				records[p.index].Time = at.time
				records[p.index].At = domain.Location{
					Log: at.log, Position: all[i*positionSize : (i+1)*positionSize],
				}
			}
		}
		left = left[n:]
	}
}

// fitBatch returns how many of the records, but at least one, fit into a batch of maxSize
// bytes, and their size.
func fitBatch(left []pendingRecord, maxSize int) (n, size int) {
	for n < len(left) {
		one := sizeOf(&left[n].record)
		if n > 0 && size+one > maxSize {
			break
		}
		size += one
		n++
	}
	return n, size
}

// A storedBatch says where a log has a batch.
type storedBatch struct {
	log  domain.LogID
	base int64     // the offset of the first record; those of the others follow
	time time.Time // the broker's; zero if it did not say
}

// positions returns the positions of the batch's n records, joined.
func (b storedBatch) positions(n int) domain.Position {
	all := make([]byte, 0, n*positionSize)
	for i := range n {
		all = appendPosition(all, b.base+int64(i)+1)
	}
	return domain.Position(all)
}

// send sends one batch. It sends it again only if the broker did not know the topic.
func (d *Driver) send(
	ctx context.Context, name string, pending []pendingRecord,
) (at storedBatch, err error) {
	records := make([]kmsg.Record, len(pending))
	for i, p := range pending {
		records[i] = p.record
	}
	encoded := encodeBatch(records, time.Now(), d.compress)
	for {
		t, err := d.cachedOrFound(ctx, name)
		if err != nil {
			return at, err
		}
		if at, err = d.produce(ctx, t, encoded); err == nil {
			return at, nil
		}
		switch {
		case isAny(err, refusalErrors):
			d.forgetVerdict(name)
		case !isTooLarge(err):
			d.forget(name)
		}
		if !isUnknownTopic(err) || !pause.For(ctx, settlePause) {
			return at, err
		}
	}
}

// produce sends one batch once.
func (d *Driver) produce(ctx context.Context, t topic, encoded []byte) (at storedBatch, err error) {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = encoded
	asked := kmsg.NewProduceRequestTopic()
	asked.Topic, asked.TopicID = t.name, t.id
	asked.Partitions = append(asked.Partitions, p)
	req := kmsg.NewPtrProduceRequest()
	req.Topics = append(req.Topics, asked)
	req.TimeoutMillis = millisLeft(ctx, d.cluster.replyTimeout)
	answer, err := d.client.Broker(int(t.leader)).Request(ctx, req)
	if err != nil {
		return at, err
	}
	return confirmed(answer, t)
}

// confirmed returns no error if a broker's answer says that it has the batch that was sent
// to a topic, and at which offset.
func confirmed(answer kmsg.Response, t topic) (at storedBatch, err error) {
	produced, ok := answer.(*kmsg.ProduceResponse)
	if !ok || len(produced.Topics) != 1 || len(produced.Topics[0].Partitions) != 1 {
		return at, errUnexpectedAnswer
	}
	of, p := &produced.Topics[0], &produced.Topics[0].Partitions[0]
	if of.Topic != t.name && of.TopicID != t.id || p.Partition != 0 {
		return at, errUnexpectedAnswer
	}
	if err := brokerError(p.ErrorCode, p.ErrorMessage); err != nil {
		return at, err
	}
	if p.BaseOffset < 0 {
		return at, errUnexpectedAnswer
	}
	at = storedBatch{log: t.log, base: p.BaseOffset}
	if p.LogAppendTime >= 0 {
		at.time = time.UnixMilli(p.LogAppendTime)
	}
	return at, nil
}
