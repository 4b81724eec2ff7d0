package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
)

// A Driver carries topics over JetStream. It is safe for concurrent use.
type Driver struct {
	transport.GroupLosses

	pubClient    *natsconn.Client // publishes, pings and asks for tails
	subClient    *natsconn.Client // of feeds and groups
	replyTimeout time.Duration
	jsDomain     string // the JetStream domain; "" for the server's own
	template     streamTemplate
	log          *slog.Logger
	inspector    *transport.Inspector
	newest       newestRead

	mu        sync.Mutex
	publisher *asyncPublisher // on pubClient's last connection, nil before; guarded by mu
}

var (
	_ transport.Driver            = (*Driver)(nil)
	_ transport.LogDriver         = (*Driver)(nil)
	_ transport.Rewinder          = (*Driver)(nil)
	_ transport.WindowGroupDriver = (*Driver)(nil)
	_ transport.LossCounter       = (*Driver)(nil)
)

// Openers names this driver's URL scheme, jetstream://, for publisher.New and
// fanfare.WithOpeners.
func Openers() transport.Openers { return transport.Openers{"jetstream": Open} }

// Open makes a Driver from a URL such as "jetstream://127.0.0.1:4222?retention=1h".
// Beside the parameters of [natsconn.Parse] there are
//
//	domain     JetStream's domain, if it has one
//	create     false: create no streams, default true
//
// and those for a missing stream that is created:
//
//	retention  how long messages are kept, default 1h
//	storage    file or memory, default file
//	replicas   default 1
//	max_bytes  how many bytes the stream holds at most, default any number
//
// Open does not wait for the server.
func Open(_ context.Context, u *url.URL, log *slog.Logger) (transport.Driver, error) {
	params := dsn.NewParams(u)
	server, err := natsconn.Parse(u, params)
	template, templateErr := parseTemplate(params)
	jsDomain := params.String("domain", "")
	if err := errors.Join(err, templateErr, params.Err()); err != nil {
		return nil, err
	}
	return &Driver{
		pubClient: server.Client(), subClient: server.Client(), replyTimeout: server.ReplyTimeout(),
		jsDomain: jsDomain, template: template, log: log, inspector: transport.NewInspector(log),
	}, nil
}

// Guarantees are: a log in one order, at least once, and groups.
func (d *Driver) Guarantees() transport.Guarantees {
	return transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true, Groups: true}
}

// CheckTopic accepts subjects on which one can publish and after which a stream can be
// named.
func (d *Driver) CheckTopic(topic string) error {
	if err := natsconn.CheckTopic(topic); err != nil {
		return err
	}
	if len(streamName(topic)) > maxStreamName {
		problem := fmt.Sprintf("%q is too long to name a stream after it", topic)
		return &domain.FieldError{Path: "topic", Problem: problem}
	}
	return nil
}

// maxStreamName is the longest name of a stream, in bytes.
const maxStreamName = 255

// Follow opens a feed of what comes after a position. The feed has a consumer of its
// own.
func (d *Driver) Follow(
	ctx context.Context, topic string, after domain.Position,
) (transport.Feed, error) {
	start := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}
	if after != "" {
		at, err := parsePosition(after)
		if err != nil || at == math.MaxUint64 {
			return nil, gapError(domain.UnknownCursor, "not a position in a stream: %x", string(after))
		}
		start = jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: at + 1,
		}
	}
	f, err := d.follow(ctx, topic, start)
	switch {
	case err == nil:
		return f, nil
	case errors.As(err, new(*transport.GapError)):
		return nil, err
	}
	return nil, fmt.Errorf("jetstream: follow %s: %w", topic, natsconn.ClassifyRefusal(err))
}

// FollowSince opens a feed of the messages that the stream stored at t or later, by the
// server's clock.
func (d *Driver) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	from := clampTime(t)
	f, err := d.follow(ctx, topic, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from,
	})
	if err != nil {
		return nil, fmt.Errorf("jetstream: follow %s since %s: %w",
			topic, t.UTC().Format(time.RFC3339), natsconn.ClassifyRefusal(err))
	}
	return f, nil
}

// clampTime returns the nearest time that the server understands. The server counts
// nanoseconds since 1970 in 64 bits, and takes a time after their end, in the year 2262,
// for one in the past.
func clampTime(t time.Time) time.Time {
	first, last := time.Unix(0, 0), time.Unix(0, math.MaxInt64)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// follow opens a feed that begins where start says.
func (d *Driver) follow(
	ctx context.Context, topic string, start jetstream.ConsumerConfig,
) (*feed, error) {
	conn, err := d.subClient.Conn(ctx)
	if err != nil {
		return nil, err
	}
	f := &feed{
		api: api{conn, d.jsDomain}, newest: &d.newest, inspector: d.inspector,
		maxBytes: max(batchBytes, 2*int(conn.MaxPayload())),
	}
	err = f.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		return f.createConsumer(ctx, js, d.template, topic, start)
	})
	if err == nil {
		f.inbox = conn.NewInbox()
		f.box, err = conn.Mailbox(ctx, f.inbox, "", mailboxBounds)
	}
	if err != nil {
		f.deleteConsumer()
		return nil, err
	}
	return f, nil
}

// mailboxBounds are more than a feed asks for, so that its mailbox never overflows.
var mailboxBounds = natsconn.Bounds{Messages: 1 << 16, Bytes: 1 << 30}

// Tail returns the position of the topic's newest message. It creates no stream.
func (d *Driver) Tail(ctx context.Context, topic string) (domain.Position, error) {
	seq, err := d.tail(ctx, topic)
	if err != nil {
		return "", fmt.Errorf("jetstream: tail of %s: %w", topic, natsconn.Classify(err))
	}
	return position(seq), nil
}

func (d *Driver) tail(ctx context.Context, topic string) (seq uint64, err error) {
	publisher, err := d.openPublisher(ctx)
	if err != nil {
		return 0, err
	}
	to, err := publisher.streamOf(ctx, topic, false)
	if err != nil || to.stream == "" {
		return 0, err
	}
	err = publisher.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, to.stream)
		if err != nil {
			return err
		}
		publisher.compare(topic, stream.CachedInfo())
		if inspect(d.inspector, &stream.CachedInfo().Config, topic) {
			publisher.forgetStreams() // so that the next publish checks the stream again
		}
		seq, err = newestSeq(ctx, stream, topic)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		publisher.forgetStreams()
		return 0, nil
	}
	return seq, err
}

// newestSeq returns the sequence of a topic's newest message in a stream. It returns 0,
// which is before every message to come, if there is none.
func newestSeq(ctx context.Context, stream jetstream.Stream, topic string) (uint64, error) {
	info := stream.CachedInfo()
	s := info.State
	if holdsOnly(&info.Config, topic) && (s.NumDeleted == 0 || s.Msgs == 0) {
		return s.LastSeq, nil
	}
	// The stream's newest message may be another topic's, or may have been deleted.
	m, err := stream.GetLastMsgForSubject(ctx, topic)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return m.Sequence, nil
}

// Publish sends all records in order, without waiting for the answer to one before it
// sends the next. It tries once. Each record has its own result.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	ctx, cancel := context.WithTimeout(ctx, d.replyTimeout)
	defer cancel()
	publisher, err := d.openPublisher(ctx)
	var errs []error
	if err != nil {
		errs = natsconn.Unanswered(len(records))
		natsconn.FillUnanswered(errs, err)
	} else {
		errs = publisher.publish(ctx, records)
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("jetstream: %w", natsconn.ClassifyRefusal(err)) // the Transport names the topic
		}
	}
	return errs
}

// openPublisher returns the publisher on pubClient's connection, and makes a new one when
// that connection is a new one.
func (d *Driver) openPublisher(ctx context.Context) (*asyncPublisher, error) {
	conn, err := d.pubClient.Conn(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.publisher != nil && d.publisher.api.conn == conn {
		return d.publisher, nil
	}
	d.publisher, err = newAsyncPublisher(conn, d.jsDomain, d.template, d.inspector)
	if err != nil {
		d.publisher = nil
		if errors.Is(err, nats.ErrConnectionClosed) {
			err = conn.EndCause()
		}
	}
	return d.publisher, err
}

// Ping asks the server for a sign of life.
func (d *Driver) Ping(ctx context.Context) error {
	conn, err := d.pubClient.Conn(ctx)
	if err == nil {
		err = conn.Sync(ctx)
	}
	if err != nil {
		return fmt.Errorf("jetstream: ping: %w", natsconn.Classify(err))
	}
	return nil
}

// Close ends both connections.
func (d *Driver) Close() error { return errors.Join(d.pubClient.Close(), d.subClient.Close()) }
