package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// publishAtOnce is how many topics of one call are published to at the same
// time.
const publishAtOnce = 16

// Publish sends the records of each topic in order, as few batches, one after
// the other: what a broker may have taken is not sent again.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	var topics []string
	of := make(map[string][]int)
	for i, r := range records {
		if of[r.Topic] == nil {
			topics = append(topics, r.Topic)
		}
		of[r.Topic] = append(of[r.Topic], i)
	}
	errs := slices.Repeat([]error{errUnanswered}, len(records))
	var sending errgroup.Group
	sending.SetLimit(publishAtOnce)
	for _, topic := range topics {
		sending.Go(func() error { d.publishOn(ctx, topic, records, of[topic], errs); return nil })
	}
	_ = sending.Wait() // nobody fails
	if errors.Join(errs...) == nil {
		return nil
	}
	return errs
}

// A pendingRecord is a record on its way, and its place among the records of a call.
type pendingRecord struct {
	index  int
	record kmsg.Record
}

// publishOn publishes the records of one topic, whose places it is given. A
// record has no error only when the broker has confirmed the batch that it was
// in.
func (d *Driver) publishOn(ctx context.Context, topic string, records []transport.Outgoing, which []int, errs []error) {
	fail := func(i int, err error) {
		errs[i] = fmt.Errorf("kafka: publish on %s: %w", topic, classifyRefusal(err))
	}
	left := make([]pendingRecord, 0, len(which))
	for _, i := range which {
		r, err := encode(records[i].Message)
		if err != nil {
			fail(i, err)
			continue
		}
		left = append(left, pendingRecord{i, r})
	}
	most := maxBatch
	for len(left) > 0 {
		n, size := fitBatch(left, most)
		err := d.send(ctx, topic, left[:n])
		large := errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
		switch {
		case large && n > 1: // the topic takes less: in smaller ones
			most = size / 2
			continue
		case large:
			fail(left[0].index, err)
		case err != nil: // what follows must not overtake what may come
			for _, p := range left {
				fail(p.index, err)
			}
			return
		default:
			for _, p := range left[:n] {
				errs[p.index] = nil
			}
		}
		left = left[n:]
	}
}

// fitBatch is how many of the records, one at least, make a batch of most bytes.
func fitBatch(left []pendingRecord, most int) (n, size int) {
	for n < len(left) {
		one := sizeOf(&left[n].record)
		if n > 0 && size+one > most {
			break
		}
		size += one
		n++
	}
	return n, size
}

// send sends one batch, again only where the broker did not know the topic.
func (d *Driver) send(ctx context.Context, name string, parcels []pendingRecord) error {
	records := make([]kmsg.Record, len(parcels))
	for i, p := range parcels {
		records[i] = p.record
	}
	encoded := batch(records, time.Now(), d.compress)
	for {
		t, err := d.cachedOrFound(ctx, name)
		if err != nil {
			return err
		}
		if err = d.produce(ctx, t, encoded); err == nil {
			return nil
		}
		switch {
		case isAny(err, refusalErrors):
			d.forgetVerdict(name)
		case !errors.Is(err, kerr.MessageTooLarge) && !errors.Is(err, kerr.RecordListTooLarge):
			d.forget(name)
		}
		unknown := errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.UnknownTopicOrPartition)
		if !unknown || !pause(ctx, settlePause) {
			return err
		}
	}
}

// produce sends one batch once.
func (d *Driver) produce(ctx context.Context, t topic, encoded []byte) error {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = encoded
	asked := kmsg.NewProduceRequestTopic()
	asked.Topic, asked.TopicID = t.name, t.id
	asked.Partitions = append(asked.Partitions, p)
	req := kmsg.NewPtrProduceRequest()
	req.Topics = append(req.Topics, asked)
	req.TimeoutMillis = millisLeft(ctx, d.server.replyTimeout)
	answer, err := d.client.Broker(int(t.leader)).Request(ctx, req)
	if err != nil {
		return err
	}
	return confirmed(answer, t)
}

// confirmed reads whether a broker says that it has the batch that was sent to a
// topic, and where.
func confirmed(answer kmsg.Response, t topic) error {
	produced, ok := answer.(*kmsg.ProduceResponse)
	if !ok || len(produced.Topics) != 1 || len(produced.Topics[0].Partitions) != 1 {
		return errUnexpectedAnswer
	}
	of, p := &produced.Topics[0], &produced.Topics[0].Partitions[0]
	if of.Topic != t.name && of.TopicID != t.id || p.Partition != 0 {
		return errUnexpectedAnswer
	}
	if err := brokerError(p.ErrorCode, p.ErrorMessage); err != nil {
		return err
	}
	if p.BaseOffset < 0 {
		return errUnexpectedAnswer
	}
	return nil
}

// compressor returns what compresses batches as a name says, nil for not at
// all.
func compressor(name string) (kgo.Compressor, error) {
	codecs := map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	if name == "none" {
		return nil, nil
	}
	codec, ok := codecs[name]
	if !ok {
		return nil, fmt.Errorf("compression=%s: want none, gzip, snappy, lz4 or zstd", name)
	}
	return kgo.DefaultCompressor(codec)
}

// compressIfSmaller compresses, where that makes less of it.
func compressIfSmaller(c kgo.Compressor, body []byte) ([]byte, kgo.CompressionCodecType) {
	squeezed, codec := c.Compress(new(bytes.Buffer), body)
	if len(squeezed) >= len(body) {
		return body, kgo.CodecNone
	}
	return squeezed, codec
}

// maxTopic is the longest name of a topic, in bytes.
const maxTopic = 249

// CheckTopic accepts the names that Kafka does: 1 to 249 letters, digits, dots,
// dashes and underscores, and neither "." nor "..". Names that differ only in
// dots and underscores share a name among the broker's metrics, and the cluster
// refuses to create the second of them.
func (d *Driver) CheckTopic(name string) error {
	ok := name != "" && len(name) <= maxTopic && name != "." && name != ".."
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return &domain.FieldError{Path: "topic", Problem: fmt.Sprintf("want 1 to %d of a-z, A-Z, 0-9, . _ and -", maxTopic)}
	}
	return nil
}
