package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// heartbeatInterval is how often a consumer that has nothing to deliver says so, and
	// silence how long a feed may hear nothing from it.
	heartbeatInterval = time.Second
	maxSilence        = 4 * time.Second
	// requestExpiry is how long the server keeps a request for messages.
	requestExpiry = time.Minute
	// consumerIdleLimit is after how long the server drops a consumer that nobody
	// asks for messages any more.
	consumerIdleLimit = 2 * time.Minute
	// batchBytes is how many bytes a request may bring; one message more than
	// that, if it is larger, comes too.
	batchBytes = 4 << 20
)

// A feed reads one stream through a consumer of its own.
//
// It asks for the next batch before it hands out the one it has, so that the
// server and the reader work at the same time. What waits is at most two batches.
type feed struct {
	api         api
	newest      *newestRead
	inspector   *transport.Inspector
	log         topicLog
	begin       uint64
	box         *natsconn.Mailbox // where the consumer's deliveries go
	inbox       string            // the box's subject
	pullSubject string            // the subject to ask the consumer on
	maxBytes    int               // that one request may bring

	readTo      uint64 // all of the topic up to here was handed out, or is not there
	consumerSeq uint64 // deliveries
	requested   int    // messages asked for that have not come
	lastHeard   time.Time
	err         error // why the feed is over
}

func (f *feed) Log() domain.LogID      { return f.log.id }
func (f *feed) Begin() domain.Position { return position(f.begin) }
func (f *feed) LastHeard() time.Time   { return f.lastHeard }

// createConsumer makes the consumer, which belongs to the stream as it is then, and ends
// with it. What createConsumer names is resolved by the server; a sequence it would
// change without a word, so that is proven.
func (f *feed) createConsumer(ctx context.Context, js jetstream.JetStream, p streamTemplate, topic string, start jetstream.ConsumerConfig) error {
	name, err := p.findOrCreate(ctx, js, topic)
	if err != nil {
		return err
	}
	consumer, err := js.CreateConsumer(ctx, name, consumerConfig(topic, start))
	if err != nil {
		if info, unknown := streamInfo(ctx, js, name); unknown == nil {
			inspect(f.inspector, &info.Config, topic)
			if why := checkFit(&info.Config, topic, unusable); why != nil {
				return why
			}
		}
		return explainUnavailable(err)
	}
	resolved := consumer.CachedInfo()
	f.pullSubject = f.api.prefix() + ".CONSUMER.MSG.NEXT." + name + "." + resolved.Name
	info, err := streamInfo(ctx, js, name)
	if err != nil {
		return err
	}
	inspect(f.inspector, &info.Config, topic)
	if f.log, err = newTopicLog(info, topic); err != nil {
		return err
	}
	f.begin = resolved.Delivered.Stream
	if start.DeliverPolicy == jetstream.DeliverByStartSequencePolicy {
		f.begin = start.OptStartSeq - 1
		if err = f.log.prove(info, f.begin); err == nil {
			err = f.newest.prove(ctx, js, f.log, f.begin)
		}
	}
	f.readTo = f.begin
	return err
}

// consumerConfig is the configuration of a feed's consumer.
func consumerConfig(topic string, start jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	c := start
	c.Description = "a feed of Fanfare"
	c.FilterSubject = topic
	c.AckPolicy = jetstream.AckNonePolicy
	c.ReplayPolicy = jetstream.ReplayInstantPolicy
	c.InactiveThreshold = consumerIdleLimit
	c.MemoryStorage, c.Replicas = true, 1
	return c
}

// Close lets the server drop the consumer, too.
func (f *feed) Close() error {
	f.deleteConsumer()
	return f.box.Close()
}

// deleteConsumer drops the consumer, without waiting for that: else it goes when it was
// idle for long enough.
func (f *feed) deleteConsumer() {
	if f.pullSubject != "" {
		_ = f.api.conn.Publish(strings.Replace(f.pullSubject, ".CONSUMER.MSG.NEXT.", ".CONSUMER.DELETE.", 1), nil)
	}
}

// Read returns what follows the last entry returned, and proves that it does.
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
		f.err = err // next time, if there is a batch: that is good
		if len(batch) > 0 {
			f.wrapError()
			return batch, nil
		}
	}
	f.wrapError()
	return nil, f.err
}

// wrapError dresses the error of a feed that is over.
func (f *feed) wrapError() {
	if f.err != nil && !errors.Is(f.err, errRead) && !errors.As(f.err, new(*transport.GapError)) {
		f.err = fmt.Errorf("%w %s: %w", errRead, f.log.topic, natsconn.Classify(f.err))
	}
}

var errRead = errors.New("jetstream: read")

// request asks for more, so that a batch is on its way while one is dealt with.
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

// A jump is where the stream's sequence goes on later than it should.
type jump struct {
	after   uint64
	entries int // in the batch before it
}

// decode makes entries of messages. If there are holes among them it asks the
// stream; what came before one that is a loss is good.
func (f *feed) decode(ctx context.Context, messages []*nats.Msg) ([]domain.Entry, error) {
	batch := make([]domain.Entry, 0, len(messages))
	positions := make([]byte, 0, positionSize*len(messages))
	var holes []jump
	at := f.readTo
	for _, m := range messages {
		if m.Reply == "" {
			beat, err := f.readStatus(m)
			if err != nil {
				return f.finish(ctx, batch, positions, holes, at, err)
			}
			if beat > at {
				holes, at = append(holes, jump{at, len(batch)}), beat
			}
			continue
		}
		d, ok := parseDelivery(m.Reply)
		switch {
		case !ok:
			return f.finish(ctx, batch, positions, holes, at, fmt.Errorf("%q is no delivery of a consumer", m.Reply))
		case d.consumerSeq != f.consumerSeq+1 || d.streamSeq <= at:
			return f.finish(ctx, batch, positions, holes, at,
				fmt.Errorf("delivery %d of message %d came after %d of %d", d.consumerSeq, d.streamSeq, f.consumerSeq, at))
		case d.streamSeq != at+1:
			holes = append(holes, jump{at, len(batch)})
		}
		f.consumerSeq, f.requested, at = d.consumerSeq, max(0, f.requested-1), d.streamSeq
		e := natsconn.Decode(m.Data, m.Header)
		e.Time = d.time
		batch, positions = append(batch, e), appendPosition(positions, d.streamSeq)
	}
	return f.finish(ctx, batch, positions, holes, at, nil)
}

// finish proves a batch, moves on, and returns what of it is proven.
func (f *feed) finish(ctx context.Context, batch []domain.Entry, positions []byte, holes []jump, at uint64, err error) ([]domain.Entry, error) {
	if len(holes) > 0 {
		proven, gap := f.proveJumps(ctx, holes)
		if gap != nil {
			batch, err = batch[:proven], gap
		}
	}
	f.readTo = at
	for i, all := 0, domain.Position(positions); i < len(batch); i++ { // one string for the whole batch
		batch[i].Position = all[i*positionSize : (i+1)*positionSize]
	}
	if n := len(batch); n > 0 {
		seq, _ := parsePosition(batch[n-1].Position)
		f.newest.note(f.log.id, storedMessage{seq, batch[n-1].Time})
	}
	return batch, err
}

// proveJumps asks the stream about holes. Of one that is a loss it says how many
// entries came before it.
func (f *feed) proveJumps(ctx context.Context, holes []jump) (proven int, err error) {
	var info *jetstream.StreamInfo
	ctx, cancel := context.WithTimeout(ctx, maxSilence)
	defer cancel()
	err = f.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) (err error) {
		info, err = streamInfo(ctx, js, f.log.stream)
		return err
	})
	if err != nil {
		return holes[0].entries, err
	}
	for _, h := range holes {
		if err := f.log.prove(info, h.after); err != nil {
			return h.entries, err
		}
	}
	return 0, nil
}

// readStatus reads what the server says instead of a message: how far the consumer
// has come, or that a request is over.
func (f *feed) readStatus(m *nats.Msg) (beat uint64, err error) {
	code, text := m.Header.Get("Status"), m.Header.Get("Description")
	switch code {
	case "100":
		turn, _ := parseUint(m.Header.Get("Nats-Last-Consumer"))
		seq, _ := parseUint(m.Header.Get("Nats-Last-Stream"))
		if turn != f.consumerSeq {
			return 0, fmt.Errorf("%d deliveries came of %d", f.consumerSeq, turn)
		}
		return seq, nil
	case "404", "408", "409":
		rest, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
		if err != nil || strings.Contains(text, "Shutdown") {
			break // the consumer is gone, or goes
		}
		f.requested = max(0, f.requested-rest)
		return 0, nil
	case "503":
		text = "the consumer is gone"
	}
	return 0, fmt.Errorf("the consumer ended: %s %s", code, text)
}
