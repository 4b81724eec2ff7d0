package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
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

	mu   sync.Mutex
	desk *desk // on the connection that talk had last; guarded by mu
}

var (
	_ transport.Driver      = (*Driver)(nil)
	_ transport.LogDriver   = (*Driver)(nil)
	_ transport.GroupDriver = (*Driver)(nil)
)

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
	params := transport.NewParams(u)
	server, err := natsconn.Parse(u, params)
	plan, bad := parsePlan(params)
	domain := params.String("domain", "")
	if err := errors.Join(err, bad, params.Err()); err != nil {
		return nil, err
	}
	return &Driver{
		talk: server.Client(), listen: server.Client(), reply: server.ReplyTimeout(),
		domain: domain, plan: plan, log: log,
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
	at := uint64(0)
	if after != "" {
		var err error
		if at, err = parsePosition(after); err != nil || at == ^uint64(0) {
			return nil, lost(domain.UnknownCursor, "not a position in a stream: %x", string(after))
		}
		start = jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: at + 1}
	}
	f, err := d.follow(ctx, topic, start, func(resolved uint64) uint64 {
		if after == "" {
			return resolved
		}
		return at
	})
	if errors.As(err, new(*transport.BreakError)) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: follow %s: %w", topic, natsconn.Classify(err))
	}
	return f, nil
}

// FollowSince opens a feed of the messages that the stream took at t or later,
// by the server's clock.
func (d *Driver) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	start := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &t}
	f, err := d.follow(ctx, topic, start, func(resolved uint64) uint64 { return resolved })
	if err != nil {
		return nil, fmt.Errorf("jetstream: follow %s since %v: %w", topic, t, natsconn.Classify(err))
	}
	return f, nil
}

// follow opens a feed where begin says, which is told where the server resolved
// the start to.
func (d *Driver) follow(ctx context.Context, topic string, start jetstream.ConsumerConfig, begin func(resolved uint64) uint64) (*feed, error) {
	conn, err := d.listen.Conn(ctx)
	if err != nil {
		return nil, err
	}
	a := api{conn, d.domain}
	var f *feed
	err = a.ask(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		name, err := d.plan.find(ctx, js, topic)
		if err != nil {
			return err
		}
		consumer, err := js.CreateConsumer(ctx, name, readerOf(topic, start))
		if err != nil {
			return enabled(err)
		}
		resolved := consumer.CachedInfo()
		// The consumer belongs to the stream as it is now, and ends with it.
		info, err := look(ctx, js, name)
		if err != nil {
			return err
		}
		f = &feed{
			api: a, begin: begin(resolved.Delivered.Stream),
			pull:  a.prefix() + ".CONSUMER.MSG.NEXT." + name + "." + resolved.Name,
			bytes: max(batchBytes, 2*int(conn.MaxPayload())),
		}
		f.at = f.begin
		if f.log, err = newLog(info, topic); err != nil {
			return err
		}
		return f.log.prove(info, f.begin)
	})
	if err == nil {
		f.reply = conn.NewInbox()
		f.box, err = conn.Mailbox(ctx, f.reply, "", natsconn.Bounds{Messages: 1 << 16, Bytes: 1 << 30}) // more than it asks for
	}
	if err != nil {
		if f != nil {
			_ = conn.Publish(f.drop(), nil)
		}
		return nil, err
	}
	return f, nil
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

// Tail asks for the topic's newest message. It creates no stream.
func (d *Driver) Tail(ctx context.Context, topic string) (domain.Position, error) {
	seq, err := d.tail(ctx, topic)
	if err != nil {
		return "", fmt.Errorf("jetstream: tail of %s: %w", topic, natsconn.Classify(err))
	}
	return position(seq), nil
}

func (d *Driver) tail(ctx context.Context, topic string) (seq uint64, err error) {
	desk, err := d.open(ctx)
	if err != nil {
		return 0, err
	}
	name, err := desk.stream(ctx, topic, false)
	if err != nil || name == "" {
		return 0, err
	}
	err = desk.api.ask(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		s := stream.CachedInfo().State
		l, err := newLog(stream.CachedInfo(), topic)
		if err != nil {
			return err
		}
		if l.alone && (s.NumDeleted == 0 || s.Msgs == 0) {
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
		desk.forget()
		return 0, nil
	}
	return seq, err
}

// Publish sends all records in order, without waiting for one before it sends
// the next, and tries once. Each record has its own result.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	ctx, cancel := context.WithTimeout(ctx, d.reply)
	defer cancel()
	desk, err := d.open(ctx)
	var errs []error
	if err != nil {
		errs = make([]error, len(records))
		natsconn.Fill(errs, err)
	} else {
		errs = desk.publish(ctx, records)
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("jetstream: publish on %s: %w", records[i].Topic, natsconn.Classify(err))
		}
	}
	return errs
}

// open returns the desk on talk's connection.
func (d *Driver) open(ctx context.Context) (*desk, error) {
	conn, err := d.talk.Conn(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.desk != nil && d.desk.api.conn == conn {
		return d.desk, nil
	}
	if d.desk, err = newDesk(conn, d.domain, d.plan); err != nil {
		d.desk = nil
		if errors.Is(err, nats.ErrConnectionClosed) {
			err = conn.Why()
		}
	}
	return d.desk, err
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
