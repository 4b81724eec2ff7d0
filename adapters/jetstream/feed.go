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
	// beat is how often a consumer that has nothing to deliver says so, and
	// silence how long a feed may hear nothing from it.
	beat    = time.Second
	silence = 4 * time.Second
	// expiry is how long the server keeps a request for messages.
	expiry = time.Minute
	// idleConsumer is after how long the server drops a consumer that nobody
	// asks for messages any more.
	idleConsumer = 2 * time.Minute
	// batchBytes is how many bytes a request may bring; one message more than
	// that, if it is larger, comes too.
	batchBytes = 4 << 20
)

// A feed reads one stream through a consumer of its own.
//
// It asks for the next batch before it hands out the one it has, so that the
// server and the reader work at the same time. What waits is at most two batches.
type feed struct {
	api    api
	memory *memory
	about  *transport.Inspector
	log    log
	begin  uint64
	box    *natsconn.Mailbox // where the consumer's deliveries go
	reply  string            // the box's subject
	pull   string            // the subject to ask the consumer on
	bytes  int               // that one request may bring

	at     uint64 // all of the topic up to here was handed out, or is not there
	turn   uint64 // deliveries
	wanted int    // messages asked for that have not come
	heard  time.Time
	err    error // why the feed is over
}

func (f *feed) Log() domain.LogID      { return f.log.id }
func (f *feed) Begin() domain.Position { return position(f.begin) }
func (f *feed) LastHeard() time.Time   { return f.heard }

// start makes the consumer, which belongs to the stream as it is then, and ends
// with it. What start names is resolved by the server; a sequence it would
// change without a word, so that is proven.
func (f *feed) start(ctx context.Context, js jetstream.JetStream, p plan, topic string, start jetstream.ConsumerConfig) error {
	name, err := p.find(ctx, js, topic)
	if err != nil {
		return err
	}
	consumer, err := js.CreateConsumer(ctx, name, readerOf(topic, start))
	if err != nil {
		if info, unknown := look(ctx, js, name); unknown == nil {
			inspect(f.about, &info.Config, topic)
			if why := refuse(&info.Config, topic, unusable); why != nil {
				return why
			}
		}
		return enabled(err)
	}
	resolved := consumer.CachedInfo()
	f.pull = f.api.prefix() + ".CONSUMER.MSG.NEXT." + name + "." + resolved.Name
	info, err := look(ctx, js, name)
	if err != nil {
		return err
	}
	inspect(f.about, &info.Config, topic)
	if f.log, err = newLog(info, topic); err != nil {
		return err
	}
	f.begin = resolved.Delivered.Stream
	if start.DeliverPolicy == jetstream.DeliverByStartSequencePolicy {
		f.begin = start.OptStartSeq - 1
		if err = f.log.prove(info, f.begin); err == nil {
			err = f.memory.prove(ctx, js, f.log, f.begin)
		}
	}
	f.at = f.begin
	return err
}

// readerOf is the configuration of a feed's consumer.
func readerOf(topic string, start jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	c := start
	c.Description = "a feed of Fanfare"
	c.FilterSubject = topic
	c.AckPolicy = jetstream.AckNonePolicy
	c.ReplayPolicy = jetstream.ReplayInstantPolicy
	c.InactiveThreshold = idleConsumer
	c.MemoryStorage, c.Replicas = true, 1
	return c
}

// Close lets the server drop the consumer, too.
func (f *feed) Close() error {
	f.drop()
	return f.box.Close()
}

// drop drops the consumer, without waiting for that: else it goes when it was
// idle for long enough.
func (f *feed) drop() {
	if f.pull != "" {
		_ = f.api.conn.Publish(strings.Replace(f.pull, ".CONSUMER.MSG.NEXT.", ".CONSUMER.DELETE.", 1), nil)
	}
}

// Read returns what follows the last entry returned, and proves that it does.
func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	f.heard = time.Now()
	for f.err == nil {
		if f.err = f.ask(); f.err != nil {
			break
		}
		var messages []*nats.Msg
		messages, f.err = f.box.Take(ctx, transport.BatchSize, silence)
		if f.err == nil && len(messages) == 0 {
			f.err = fmt.Errorf("the consumer is silent for %v", silence)
		}
		if f.err != nil {
			break
		}
		f.heard = time.Now()
		batch, err := f.take(ctx, messages)
		f.err = err // next time, if there is a batch: that is good
		if len(batch) > 0 {
			f.end()
			return batch, nil
		}
	}
	f.end()
	return nil, f.err
}

// end dresses the error of a feed that is over.
func (f *feed) end() {
	if f.err != nil && !errors.Is(f.err, errRead) && !errors.As(f.err, new(*transport.GapError)) {
		f.err = fmt.Errorf("%w %s: %w", errRead, f.log.topic, natsconn.Classify(f.err))
	}
}

var errRead = errors.New("jetstream: read")

// ask asks for more, so that a batch is on its way while one is dealt with.
func (f *feed) ask() error {
	for f.wanted+f.box.Len() <= transport.BatchSize {
		request := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`,
			transport.BatchSize, f.bytes, expiry, beat)
		if err := f.api.conn.PublishRequest(f.pull, f.reply, request); err != nil {
			return err
		}
		f.wanted += transport.BatchSize
	}
	return nil
}

// A hole is where the stream's sequence goes on later than it should.
type hole struct {
	after   uint64
	entries int // in the batch before it
}

// take makes entries of messages. If there are holes among them it asks the
// stream; what came before one that is a loss is good.
func (f *feed) take(ctx context.Context, messages []*nats.Msg) ([]domain.Entry, error) {
	batch := make([]domain.Entry, 0, len(messages))
	positions := make([]byte, 0, positionSize*len(messages))
	var holes []hole
	at := f.at
	for _, m := range messages {
		if m.Reply == "" {
			beat, err := f.status(m)
			if err != nil {
				return f.settle(ctx, batch, positions, holes, at, err)
			}
			if beat > at {
				holes, at = append(holes, hole{at, len(batch)}), beat
			}
			continue
		}
		d, ok := parseDelivery(m.Reply)
		switch {
		case !ok:
			return f.settle(ctx, batch, positions, holes, at, fmt.Errorf("%q is no delivery of a consumer", m.Reply))
		case d.turn != f.turn+1 || d.seq <= at:
			return f.settle(ctx, batch, positions, holes, at,
				fmt.Errorf("delivery %d of message %d came after %d of %d", d.turn, d.seq, f.turn, at))
		case d.seq != at+1:
			holes = append(holes, hole{at, len(batch)})
		}
		f.turn, f.wanted, at = d.turn, max(0, f.wanted-1), d.seq
		e := natsconn.Decode(m.Data, m.Header)
		e.Time = d.time
		batch, positions = append(batch, e), appendPosition(positions, d.seq)
	}
	return f.settle(ctx, batch, positions, holes, at, nil)
}

// settle proves a batch, moves on, and returns what of it is proven.
func (f *feed) settle(ctx context.Context, batch []domain.Entry, positions []byte, holes []hole, at uint64, err error) ([]domain.Entry, error) {
	if len(holes) > 0 {
		proven, gap := f.mind(ctx, holes)
		if gap != nil {
			batch, err = batch[:proven], gap
		}
	}
	f.at = at
	for i, all := 0, domain.Position(positions); i < len(batch); i++ { // one string for the whole batch
		batch[i].Position = all[i*positionSize : (i+1)*positionSize]
	}
	if n := len(batch); n > 0 {
		seq, _ := parsePosition(batch[n-1].Position)
		f.memory.keep(f.log.id, seen{seq, batch[n-1].Time})
	}
	return batch, err
}

// mind asks the stream about holes. Of one that is a loss it says how many
// entries came before it.
func (f *feed) mind(ctx context.Context, holes []hole) (proven int, err error) {
	var info *jetstream.StreamInfo
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	err = f.api.ask(ctx, func(ctx context.Context, js jetstream.JetStream) (err error) {
		info, err = look(ctx, js, f.log.stream)
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

// status reads what the server says instead of a message: how far the consumer
// has come, or that a request is over.
func (f *feed) status(m *nats.Msg) (beat uint64, err error) {
	code, text := m.Header.Get("Status"), m.Header.Get("Description")
	switch code {
	case "100":
		turn, _ := parseUint(m.Header.Get("Nats-Last-Consumer"))
		seq, _ := parseUint(m.Header.Get("Nats-Last-Stream"))
		if turn != f.turn {
			return 0, fmt.Errorf("%d deliveries came of %d", f.turn, turn)
		}
		return seq, nil
	case "404", "408", "409":
		rest, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
		if err != nil || strings.Contains(text, "Shutdown") {
			break // the consumer is gone, or goes
		}
		f.wanted = max(0, f.wanted-rest)
		return 0, nil
	case "503":
		text = "the consumer is gone"
	}
	return 0, fmt.Errorf("the consumer ended: %s %s", code, text)
}
