package redispubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
)

// A Driver carries topics over Redis pub/sub. It is safe for concurrent use.
type Driver struct {
	server  *redisconn.Server
	masters *redisconn.Masters
	closed  atomic.Bool

	slots  *redisconn.Slots // for the feeds that have a connection of their own
	shared *redisconn.SharedConns[*sharedFeed, *subscriber]
}

var _ transport.Driver = (*Driver)(nil)

// Openers names this driver's URL schemes, redis:// and, with TLS, rediss://, for
// publisher.New and fanfare.WithOpeners.
func Openers() transport.Openers {
	return transport.Openers{"redis": Open, "rediss": Open}
}

// Open makes a [Driver] from a URL such as
// "redis://127.0.0.1:6379/0?read_connections=16". The other parameters are those of
// [redisconn.Parse]. Open does not connect to the server.
//
// The parameter read_connections says how many feeds have a connection of their
// own. Further feeds share connections, up to [redisconn.FeedsPerConn] on each.
func Open(_ context.Context, u *url.URL, _ *slog.Logger) (transport.Driver, error) {
	params := dsn.NewParams(u)
	server, err := redisconn.Parse(u, params)
	ownConns := params.Int("read_connections", redisconn.DefaultReadConnections, 0)
	if err := errors.Join(err, params.Err()); err != nil {
		return nil, err
	}
	masters := redisconn.NewMasters(server)
	return &Driver{
		server: server, masters: masters,
		slots: redisconn.NewSlots(ownConns), shared: newSharedConns(server, masters),
	}, nil
}

// Guarantees returns that there is no log, and that delivery is at most once. A single
// server has one order for all subscribers. In a cluster subscribers may be on several
// servers, between which there is only each publisher's order.
func (d *Driver) Guarantees() transport.Guarantees {
	return transport.Guarantees{TotalOrder: !d.server.IsCluster()}
}

// CheckTopic accepts any name that Redis can hold and a person can type.
func (d *Driver) CheckTopic(topic string) error { return redisconn.CheckTopic(topic) }

// Follow subscribes, and returns when the server has confirmed the subscription.
// Because there are no positions, after must be "".
func (d *Driver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if after != "" {
		return nil, fmt.Errorf("redispubsub: follow %s after a position: %w", topic, domain.ErrUnsupported)
	}
	if d.closed.Load() {
		return nil, fmt.Errorf("redispubsub: follow %s: %w", topic, domain.ErrClosed)
	}
	f, err := d.openFeed(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("redispubsub: follow %s: %w", topic, d.classify(topic, err))
	}
	return f, nil
}

// openFeed opens a feed on a connection of its own if a slot for one is free,
// otherwise on a shared connection.
func (d *Driver) openFeed(ctx context.Context, topic string) (transport.Feed, error) {
	release, ok := d.slots.Take()
	if !ok {
		return d.openSharedFeed(ctx, topic)
	}
	conn, err := d.masters.Open(ctx, topic, func(conn *redisconn.Conn) error {
		return subscribe(ctx, conn, topic)
	})
	if err != nil {
		release()
		return nil, err
	}
	return &feed{
		conn: conn, masters: d.masters, topic: topic,
		replyTimeout: d.server.ReplyTimeout(), release: release,
	}, nil
}

// openSharedFeed subscribes on a shared connection, and returns when the server has
// confirmed the subscription.
func (d *Driver) openSharedFeed(ctx context.Context, topic string) (_ transport.Feed, err error) {
	addr, err := d.masters.Find(ctx, topic)
	if err != nil {
		return nil, err
	}
	f := newSharedFeed(topic)
	if f.shared, err = d.shared.Join(ctx, addr, topic, f); err != nil {
		return nil, err
	}
	f.shared.State.send("SUBSCRIBE", f)
	if err := f.awaitConfirmation(ctx); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Publish sends all records in one pipeline, in order. It tries once.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	pipe := d.masters.NewPipeline(len(records))
	for _, r := range records {
		payload, err := encode(r.Message)
		if err != nil {
			pipe.Refuse(err)
			continue
		}
		pipe.Add(r.Topic, redisconn.IsCount, "PUBLISH", r.Topic, payload)
	}
	errs := pipe.Exec(ctx)
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("redispubsub: %w", err) // the Transport names the topic
		}
	}
	return errs
}

// Ping asks the server for a sign of life.
func (d *Driver) Ping(ctx context.Context) error {
	if err := d.masters.Ping(ctx); err != nil {
		return fmt.Errorf("redispubsub: ping: %w", d.classify("", err))
	}
	return nil
}

// classify says what an error about a topic means, and what can be done about it.
func (d *Driver) classify(topic string, err error) error {
	return redisconn.Classify(d.server.Explain(topic, err))
}

// Close closes the connections that publishing uses and those that feeds share.
// Other feeds have connections of their own, which their owners close.
func (d *Driver) Close() error {
	d.closed.Store(true)
	return errors.Join(d.shared.Close(), d.masters.Close())
}
