package redispubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
)

// A Driver carries topics over Redis pub/sub. It is safe for concurrent use.
type Driver struct {
	server *redisconn.Server
	client *redis.Client
	closed atomic.Bool

	slots *redisconn.Slots // for feeds with a connection of their own
	lanes *redisconn.Lanes[*sharedFeed, *subscriber]
}

var _ transport.Driver = (*Driver)(nil)

// Openers names this driver's URL schemes, redis:// and, with TLS, rediss://, for
// publisher.New and fanfare.WithOpeners.
func Openers() transport.Openers {
	return transport.Openers{"redis": Open, "rediss": Open}
}

// Open makes a Driver from a URL such as
// "redis://127.0.0.1:6379/0?read_connections=16"; the other parameters are those
// of redisconn.Parse. It does not wait for the server.
//
// So many feeds as read_connections says have a connection of their own; any
// further ones share connections, redisconn.FeedsPerLane to each.
func Open(_ context.Context, u *url.URL, _ *slog.Logger) (transport.Driver, error) {
	params := dsn.NewParams(u)
	server, err := redisconn.Parse(u, params)
	own := params.Int("read_connections", redisconn.OwnConnections, 0)
	if err := errors.Join(err, params.Err()); err != nil {
		return nil, err
	}
	d := &Driver{server: server, client: server.Client(), slots: redisconn.NewSlots(own)}
	d.lanes = redisconn.NewLanes(redisconn.LanesConfig[*sharedFeed, *subscriber]{
		Dial: server.Dial,
		State: func(c *redisconn.Conn) *subscriber {
			return &subscriber{conn: c, reply: server.ReplyTimeout()}
		},
		Serve: func(l *lane) error { return l.State.serve(l) },
		End:   (*sharedFeed).refuse,
	})
	return d, nil
}

// Guarantees: one order for all, at most once, nothing kept.
func (d *Driver) Guarantees() transport.Guarantees {
	return transport.Guarantees{TotalOrder: true}
}

// CheckTopic accepts any name: Redis channels are bytes.
func (d *Driver) CheckTopic(topic string) error { return redisconn.CheckTopic(topic) }

// Follow subscribes and returns when the server has confirmed. There are no positions: after must be "".
func (d *Driver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if after != "" {
		return nil, fmt.Errorf("redispubsub: follow %s after a position: %w", topic, domain.ErrUnsupported)
	}
	if d.closed.Load() {
		return nil, fmt.Errorf("redispubsub: follow %s: %w", topic, domain.ErrClosed)
	}
	f, err := d.follow(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("redispubsub: follow %s: %w", topic, redisconn.Classify(err))
	}
	return f, nil
}

func (d *Driver) follow(ctx context.Context, topic string) (transport.Feed, error) {
	release, own := d.slots.Take()
	if !own {
		return d.followShared(ctx, topic)
	}
	conn, err := d.server.Dial(ctx)
	if err != nil {
		release()
		return nil, err
	}
	if err := subscribe(ctx, conn, topic); err != nil {
		release()
		_ = conn.Close()
		return nil, err
	}
	return &feed{conn: conn, topic: topic, reply: d.server.ReplyTimeout(), release: release}, nil
}

func subscribe(ctx context.Context, conn *redisconn.Conn, topic string) error {
	defer conn.Bound(ctx)()
	conn.Queue("SUBSCRIBE", topic)
	if err := conn.Flush(); err != nil {
		return err
	}
	return confirmed(conn, topic)
}

// confirmed reads the answer to a SUBSCRIBE, which must be its confirmation.
func confirmed(conn *redisconn.Conn, topic string) error {
	n, err := conn.Array()
	if err != nil {
		return err
	}
	kind, err := conn.Text()
	if err != nil {
		return err
	}
	channel, err := conn.Text()
	if err != nil {
		return err
	}
	if n != 3 || kind != "subscribe" || channel != topic {
		return fmt.Errorf("redis did not confirm the subscription, but answered %.64q of %.64q", kind, channel)
	}
	return conn.Skip()
}

// Publish sends all records in one pipeline, in order, and tries once.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	pipe := redisconn.NewPipeline(d.client, len(records))
	for _, r := range records {
		payload, err := encode(r.Message)
		if err != nil {
			pipe.Refuse(err)
			continue
		}
		pipe.Add(ctx, redisconn.Count, "PUBLISH", r.Topic, payload)
	}
	errs := pipe.Exec(ctx)
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("redispubsub: publish on %s: %w", records[i].Topic, err)
		}
	}
	return errs
}

// Ping asks the server for a sign of life.
func (d *Driver) Ping(ctx context.Context) error {
	if err := d.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redispubsub: ping: %w", redisconn.Classify(err))
	}
	return nil
}

// Close closes the connections that publishing uses and those that feeds share.
func (d *Driver) Close() error {
	d.closed.Store(true)
	return errors.Join(d.lanes.Close(), redisconn.Close(d.client))
}
