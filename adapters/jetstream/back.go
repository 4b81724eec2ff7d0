package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// Back counts messages from the end of the stream. Where the stream holds nothing but the
// topic, and no message of it was deleted, that is a subtraction. Else the server sends the
// messages without their bodies.
func (d *Driver) Back(
	ctx context.Context, topic string, upTo domain.Position, n int,
) (at domain.Position, start bool, err error) {
	newest := uint64(math.MaxUint64)
	if upTo != "" {
		if newest, err = parsePosition(upTo); err != nil {
			return "", false, gapError(domain.UnknownCursor, "%v", err)
		}
	}
	seq, start, err := d.back(ctx, topic, newest, uint64(n))
	if err != nil {
		return "", false, fmt.Errorf("jetstream: back in %s: %w", topic, natsconn.ClassifyRefusal(err))
	}
	return position(seq), start, nil
}

func (d *Driver) back(
	ctx context.Context, topic string, newest, n uint64,
) (seq uint64, start bool, err error) {
	publisher, err := d.openPublisher(ctx)
	if err != nil {
		return 0, false, err
	}
	to, err := publisher.streamOf(ctx, topic, false)
	if err != nil || to.stream == "" {
		return 0, true, err
	}
	err = publisher.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, to.stream)
		if err != nil {
			return err
		}
		seq, start, err = backIn(ctx, stream, topic, newest, n)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		publisher.forgetStreams()
		return 0, true, nil
	}
	return seq, start, err
}

// backIn returns the sequence before that of the n-th newest message of a topic at or
// before newest.
func backIn(
	ctx context.Context, stream jetstream.Stream, topic string, newest, n uint64,
) (seq uint64, start bool, err error) {
	info := stream.CachedInfo()
	s := info.State
	beforeAll := max(s.FirstSeq, 1) - 1
	if s.Msgs == 0 {
		beforeAll = s.LastSeq
	}
	newest = min(newest, s.LastSeq)
	switch {
	case newest <= beforeAll:
		return beforeAll, true, nil
	case holdsOnly(&info.Config, topic) && s.NumDeleted == 0:
		if newest-beforeAll < n {
			return beforeAll, true, nil
		}
		return newest - n, false, nil
	}
	// The stretch before newest that may hold n messages is doubled until it does.
	var found uint64 // messages after end
	for end, span := newest, n; ; span *= 2 {
		begin := beforeAll
		if end-beforeAll > span {
			begin = end - span
		}
		nth, count, err := countBack(ctx, stream, topic, begin, end, n-found)
		switch {
		case err != nil:
			return 0, false, err
		case found+count >= n:
			return nth - 1, false, nil
		case begin == beforeAll:
			return beforeAll, true, nil
		}
		found, end = found+count, begin
	}
}

// countBack counts the topic's messages after begin up to end, both sequences. If there are
// n or more, nth is the sequence of the n-th newest of them.
func countBack(
	ctx context.Context, stream jetstream.Stream, topic string, begin, end, n uint64,
) (nth, count uint64, err error) {
	consumer, err := stream.CreateConsumer(ctx, consumerConfig(topic, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: begin + 1, HeadersOnly: true,
	}))
	if err != nil {
		return 0, 0, explainUnavailable(err)
	}
	created := consumer.CachedInfo()
	defer func() { _ = stream.DeleteConsumer(ctx, created.Name) }() // else the server does it later
	newest := make([]uint64, n)                                     // the last n, as a ring
	for left := created.NumPending; left > 0; {
		batch, err := consumer.Fetch(int(min(left, transport.BatchSize)), jetstream.FetchContext(ctx))
		if err != nil {
			return 0, 0, err
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return 0, 0, err
			}
			if left = meta.NumPending; meta.Sequence.Stream > end {
				left = 0
				continue // the rest of the batch is still to be received
			}
			newest[count%n] = meta.Sequence.Stream
			count++
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil {
			return 0, 0, err
		}
	}
	return newest[count%n], count, nil
}
