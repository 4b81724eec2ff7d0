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
	talk   *natsconn.Client // publishes, pings and looks
	listen *natsconn.Client // feeds and groups: what goes wrong with the other does not end them
	reply  time.Duration
	domain string
	plan   plan
	log    *slog.Logger
	about  *transport.Inspector
	read   memory

	mu        sync.Mutex
	publisher *asyncPublisher // on the connection that talk had last; guarded by mu
}

var (
	_ transport.Driver      = (*Driver)(nil)
	_ transport.LogDriver   = (*Driver)(nil)
	_ transport.GroupDriver = (*Driver)(nil)
)

// Openers names this driver's URL scheme, jetstream://, for publisher.New and
// fanfare.WithOpeners.
func Openers() transport.Openers { return transport.Openers{"jetstream": Open} }

// Open makes a Driver from a URL such as
// "jetstream://127.0.0.1:4222?retention=1h". Parameters beside those of
// natsconn.Parse:
//
//	domain     JetStream's domain, if it has one
//	create     false: create no streams, default true
//
// and how a stream is created where there is none:
//
//	retention  how old messages become, default 1h
//	storage    file or memory, default file
//	replicas   default 1
//	max_bytes  how many bytes it holds at most, default any number
//
// It does not wait for the server.
func Open(_ context.Context, u *url.URL, log *slog.Logger) (transport.Driver, error) {
	params := dsn.NewParams(u)
	server, err := natsconn.Parse(u, params)
	plan, bad := parsePlan(params)
	domain := params.String("domain", "")
	if err := errors.Join(err, bad, params.Err()); err != nil {
		return nil, err
	}
	return &Driver{
		talk: server.Client(), listen: server.Client(), reply: server.ReplyTimeout(),
		domain: domain, plan: plan, log: log, about: transport.NewInspector(log),
	}, nil
}

// Guarantees: a log in one order, at least once, and groups.
func (d *Driver) Guarantees() transport.Guarantees {
	return transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true, Groups: true}
}

// CheckTopic accepts what is a subject to publish on, if its stream can have a
// name.
func (d *Driver) CheckTopic(topic string) error {
	if err := natsconn.CheckTopic(topic); err != nil {
		return err
	}
	if len(streamName(topic)) > maxStreamName {
		return &domain.FieldError{Path: "topic", Problem: fmt.Sprintf("%q is too long to name a stream after it", topic)}
	}
	return nil
}

// maxStreamName is the longest name of a stream, in bytes.
const maxStreamName = 255

// Follow opens a feed with a consumer of its own.
func (d *Driver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	start := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}
	if after != "" {
		at, err := parsePosition(after)
		if err != nil || at == math.MaxUint64 {
			return nil, lost(domain.UnknownCursor, "not a position in a stream: %x", string(after))
		}
		start = jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: at + 1}
	}
	f, err := d.follow(ctx, topic, start)
	switch {
	case err == nil:
		return f, nil
	case errors.As(err, new(*transport.GapError)):
		return nil, err
	}
	return nil, fmt.Errorf("jetstream: follow %s: %w", topic, natsconn.Refused(err))
}

// FollowSince opens a feed of the messages that the stream took at t or later,
// by the server's clock.
func (d *Driver) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	from := sayable(t)
	f, err := d.follow(ctx, topic, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from})
	if err != nil {
		return nil, fmt.Errorf("jetstream: follow %s since %s: %w", topic, t.UTC().Format(time.RFC3339), natsconn.Refused(err))
	}
	return f, nil
}

// sayable is the nearest time that the server can be told: it counts nanoseconds
// since 1970, and takes what is beyond their end, in the year 2262, for the past.
func sayable(t time.Time) time.Time {
	first, last := time.Unix(0, 0), time.Unix(0, math.MaxInt64)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// follow opens a feed where start says.
func (d *Driver) follow(ctx context.Context, topic string, start jetstream.ConsumerConfig) (*feed, error) {
	conn, err := d.listen.Conn(ctx)
	if err != nil {
		return nil, err
	}
	f := &feed{api: api{conn, d.domain}, memory: &d.read, about: d.about, bytes: max(batchBytes, 2*int(conn.MaxPayload()))}
	err = f.api.ask(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		return f.start(ctx, js, d.plan, topic, start)
	})
	if err == nil {
		f.reply = conn.NewInbox()
		f.box, err = conn.Mailbox(ctx, f.reply, "", natsconn.Bounds{Messages: 1 << 16, Bytes: 1 << 30}) // more than it asks for
	}
	if err != nil {
		f.drop()
		return nil, err
	}
	return f, nil
}

// Tail asks for the topic's newest message. It creates no stream.
func (d *Driver) Tail(ctx context.Context, topic string) (domain.Position, error) {
	seq, err := d.tail(ctx, topic)
	if err != nil {
		return "", fmt.Errorf("jetstream: tail of %s: %w", topic, natsconn.Classify(err))
	}
	return position(seq), nil
}

func (d *Driver) tail(ctx context.Context, topic string) (seq uint64, err error) {
	publisher, err := d.open(ctx)
	if err != nil {
		return 0, err
	}
	name, err := publisher.stream(ctx, topic, false)
	if err != nil || name == "" {
		return 0, err
	}
	err = publisher.api.ask(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		info := stream.CachedInfo()
		if inspect(d.about, &info.Config, topic) {
			publisher.forget() // who publishes looks again whether he can
		}
		s := info.State
		if alone(&info.Config, topic) && (s.NumDeleted == 0 || s.Msgs == 0) {
			seq = s.LastSeq
			return nil
		}
		// The newest of all may be another topic's, or may have been deleted.
		m, err := stream.GetLastMsgForSubject(ctx, topic)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil // 0 is before all that will come
		case err == nil:
			seq = m.Sequence
		}
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		publisher.forget()
		return 0, nil
	}
	return seq, err
}

// Publish sends all records in order, without waiting for one before it sends
// the next, and tries once. Each record has its own result.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	ctx, cancel := context.WithTimeout(ctx, d.reply)
	defer cancel()
	publisher, err := d.open(ctx)
	var errs []error
	if err != nil {
		errs = natsconn.Unanswered(len(records))
		natsconn.Fill(errs, err)
	} else {
		errs = publisher.publish(ctx, records)
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("jetstream: publish on %s: %w", records[i].Topic, natsconn.Refused(err))
		}
	}
	return errs
}

// open returns the publisher on talk's connection.
func (d *Driver) open(ctx context.Context) (*asyncPublisher, error) {
	conn, err := d.talk.Conn(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.publisher != nil && d.publisher.api.conn == conn {
		return d.publisher, nil
	}
	if d.publisher, err = newAsyncPublisher(conn, d.domain, d.plan, d.about); err != nil {
		d.publisher = nil
		if errors.Is(err, nats.ErrConnectionClosed) {
			err = conn.Why()
		}
	}
	return d.publisher, err
}

// Ping asks the server for a sign of life.
func (d *Driver) Ping(ctx context.Context) error {
	conn, err := d.talk.Conn(ctx)
	if err == nil {
		err = conn.Sync(ctx)
	}
	if err != nil {
		return fmt.Errorf("jetstream: ping: %w", natsconn.Classify(err))
	}
	return nil
}

// Close ends the connections.
func (d *Driver) Close() error { return errors.Join(d.talk.Close(), d.listen.Close()) }
