package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// heartbeatInterval is how often a consumer that has nothing to deliver says so.
	heartbeatInterval = time.Second
	// maxSilence is how long a feed may hear nothing from its consumer.
	maxSilence = 4 * time.Second
	// requestExpiry is how long the server keeps a request for messages.
	requestExpiry = time.Minute
	// batchBytes is how many bytes a request may bring. A single larger message comes
	// nevertheless.
	batchBytes = 4 << 20
)

// A feed reads one topic through a pull consumer of its own ([ADR-13]).
//
// It requests the next batch before it hands out the one it has, so that the server and
// the reader work at the same time. At most two batches wait in its mailbox.
//
// [ADR-13]: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-13.md
type feed struct {
	api         api
	newest      *newestRead
	inspector   *transport.Inspector
	log         topicLog
	begin       uint64
	box         *natsconn.Mailbox // receives the consumer's deliveries
	inbox       string            // the box's subject
	pullSubject string            // takes requests for messages; "" before there is a consumer
	maxBytes    int               // that one request may bring

	// The following belong to the goroutine that reads.
	readTo      uint64    // the topic up to this sequence was handed out, or holds no message
	consumerSeq uint64    // of the last delivery
	requested   int       // messages that were requested and have not come
	lastHeard   time.Time // see LastHeard
	err         error     // why the feed is over; nil before
}

func (f *feed) Log() domain.LogID      { return f.log.id }
func (f *feed) Begin() domain.Position { return position(f.begin) }

// LastHeard is when the last Read began, or got a message or status if that is later.
func (f *feed) LastHeard() time.Time { return f.lastHeard }

// Close also lets the server delete the consumer.
func (f *feed) Close() error {
	f.deleteConsumer()
	return f.box.Close()
}

// Read returns what follows the last entry that it returned, and proves that nothing is
// missing between them.
func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	f.lastHeard = time.Now()
	for f.err == nil {
		if f.err = f.request(); f.err != nil {
			break
		}
		var messages []*nats.Msg
		messages, f.err = f.box.Take(ctx, transport.BatchSize, maxSilence)
		if f.err == nil && len(messages) == 0 {
			f.err = fmt.Errorf("the consumer is silent for %v", maxSilence)
		}
		if f.err != nil {
			break
		}
		f.lastHeard = time.Now()
		batch, err := f.decode(ctx, messages)
		f.err = err // the next Read returns it if there is a batch, which is proven
		if len(batch) > 0 {
			f.wrapError()
			return batch, nil
		}
	}
	f.wrapError()
	return nil, f.err
}

// wrapError classifies f.err and adds the topic, unless that was done already or the
// error is a gap.
func (f *feed) wrapError() {
	if f.err != nil && !errors.Is(f.err, errRead) && !errors.As(f.err, new(*transport.GapError)) {
		f.err = fmt.Errorf("%w %s: %w", errRead, f.log.topic, natsconn.Classify(f.err))
	}
}

var errRead = errors.New("jetstream: read")

// request requests messages until one batch is on its way beside the one that waits.
func (f *feed) request() error {
	for f.requested+f.box.Len() <= transport.BatchSize {
		request := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`,
			transport.BatchSize, f.maxBytes, requestExpiry, heartbeatInterval)
		if err := f.api.conn.PublishRequest(f.pullSubject, f.inbox, request); err != nil {
			return err
		}
		f.requested += transport.BatchSize
	}
	return nil
}
