package redisstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	defaultRetention  = time.Hour   // how long entries are kept
	defaultClaimAfter = time.Minute // when another member of a group takes over

	// maxLooks is how many connections are open at once to find places for feeds
	// that will share one: a thousand of these begin again at the same moment
	// when the server was away.
	maxLooks = 16
)

// A Driver carries topics over Redis Streams. It is safe for concurrent use.
type Driver struct {
	server    *redisconn.Server
	client    *redis.Client
	retention time.Duration
	asked     bool // for this retention
	claim     time.Duration
	log       *slog.Logger
	closed    atomic.Bool

	slots *redisconn.Slots // for feeds with a connection of their own
	looks chan struct{}    // a token for each connection that looks for another feed's place
	lanes *redisconn.Lanes[*sharedFeed, *sharer]
}

var (
	_ transport.Driver      = (*Driver)(nil)
	_ transport.LogDriver   = (*Driver)(nil)
	_ transport.GroupDriver = (*Driver)(nil)
	_ transport.Trimmer     = (*Driver)(nil)
	_ transport.Retainer    = (*Driver)(nil)
)

// Openers names this driver's URL schemes, redis-streams:// and, with TLS,
// rediss-streams://, for publisher.New and fanfare.WithOpeners.
func Openers() transport.Openers {
	return transport.Openers{"redis-streams": Open, "rediss-streams": Open}
}

// Open makes a Driver from a URL such as
// "redis-streams://127.0.0.1:6379/0?retention=1h&claim_after=1m&read_connections=16";
// the other parameters are those of redisconn.Parse. It does not wait for the
// server.
//
// So many feeds as read_connections says have a connection of their own; any
// further ones share connections, redisconn.FeedsPerLane to each.
func Open(_ context.Context, u *url.URL, log *slog.Logger) (transport.Driver, error) {
	params := dsn.NewParams(u)
	server, err := redisconn.Parse(u, params)
	retention := params.Duration("retention", defaultRetention, time.Second)
	claim := params.Duration("claim_after", defaultClaimAfter, time.Second)
	own := params.Int("read_connections", redisconn.OwnConnections, 0)
	if err := errors.Join(err, params.Err()); err != nil {
		return nil, err
	}
	d := &Driver{
		server: server, client: server.Client(),
		retention: retention, asked: u.Query().Has("retention"), claim: claim, log: log,
		slots: redisconn.NewSlots(own), looks: make(chan struct{}, maxLooks),
	}
	d.lanes = redisconn.NewLanes(redisconn.LanesConfig[*sharedFeed, *sharer]{
		Dial: server.Dial,
		State: func(c *redisconn.Conn) *sharer {
			return &sharer{conn: c, reply: server.ReplyTimeout(), entry: batchBytes / transport.BatchSize}
		},
		Serve: func(l *lane) error { return l.State.serve(l) },
		End:   (*sharedFeed).end,
	})
	return d, nil
}

// Guarantees: a log in one order, at least once, and consumer groups.
func (d *Driver) Guarantees() transport.Guarantees {
	return transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true, Groups: true}
}

// CheckTopic accepts any name that Redis can hold and a person can type.
func (d *Driver) CheckTopic(topic string) error { return redisconn.CheckTopic(topic) }

// Follow opens a feed.
func (d *Driver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	f, err := d.follow(ctx, topic, after)
	if err == nil {
		return f, nil
	}
	if lost := (*transport.GapError)(nil); errors.As(err, &lost) {
		return nil, err
	}
	return nil, fmt.Errorf("redisstream: follow %s: %w", topic, redisconn.Classify(err))
}

// FollowSince opens a feed of the entries whose ids are t or later; ids are
// times of the server's clock, unless a publisher chose them.
func (d *Driver) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	f, err := d.open(ctx, topic, func(c *redisconn.Conn) (place, error) { return lookSince(ctx, c, topic, t) })
	if err != nil {
		return nil, fmt.Errorf("redisstream: follow %s since %s: %w", topic, t.UTC().Format(time.RFC3339), redisconn.Classify(err))
	}
	return f, nil
}

// Tail asks for the newest entry.
func (d *Driver) Tail(ctx context.Context, topic string) (domain.Position, error) {
	at, err := d.tail(ctx, topic)
	if err != nil {
		return "", fmt.Errorf("redisstream: tail of %s: %w", topic, redisconn.Classify(err))
	}
	return at.position(), nil
}

func (d *Driver) follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	from := place{ordinal: -1}
	if after != "" {
		var err error
		if from.at, err = parsePosition(after); err != nil {
			return nil, lost(domain.UnknownCursor, "%v", err)
		}
		if (from.at == id{}) {
			from.ordinal = 0
		}
	}
	return d.open(ctx, topic, func(c *redisconn.Conn) (place, error) {
		s, present, err := look(ctx, c, topic, from.at)
		switch {
		case err != nil:
		case after == "", s.exists && s.last == from.at:
			return place{at: s.last, ordinal: s.added}, nil
		case !present:
			err = s.prove(from, 0)
		}
		return from, err
	})
}

// open makes a feed that begins where place says: on a connection of its own
// if there is a slot for it, else on one that it shares.
func (d *Driver) open(ctx context.Context, topic string, place placer) (transport.Feed, error) {
	if d.closed.Load() {
		return nil, domain.ErrClosed
	}
	log := domain.NewLogID("redis-streams", strconv.Itoa(d.server.DB()), topic)
	release, own := d.slots.Take()
	if !own {
		return d.openShared(ctx, topic, log, place)
	}
	conn, from, err := d.dialAt(ctx, place)
	if err != nil {
		release()
		return nil, err
	}
	return &feed{
		conn: conn, topic: topic, begin: from.at, place: from,
		reply: d.server.ReplyTimeout(), count: transport.BatchSize, log: log, release: release,
	}, nil
}

// openShared is open on a connection that others use, too. The place is found
// on another one, which ends then.
func (d *Driver) openShared(
	ctx context.Context, topic string, log domain.LogID, place placer,
) (transport.Feed, error) {
	from, err := d.lookFor(ctx, place)
	if err != nil {
		return nil, err
	}
	f := newSharedFeed(topic, log, from)
	if f.lane, err = d.lanes.Join(ctx, topic, f); err != nil {
		return nil, err
	}
	return f, nil
}

// A placer finds the place where a feed begins.
type placer func(*redisconn.Conn) (place, error)

func (d *Driver) lookFor(ctx context.Context, p placer) (place, error) {
	select {
	case d.looks <- struct{}{}:
	case <-ctx.Done():
		return place{}, ctx.Err()
	}
	defer func() { <-d.looks }()
	conn, from, err := d.dialAt(ctx, p)
	if err == nil {
		_ = conn.Close()
	}
	return from, err
}

// dialAt opens a connection and finds the place on it.
func (d *Driver) dialAt(ctx context.Context, p placer) (*redisconn.Conn, place, error) {
	conn, err := d.server.Dial(ctx)
	if err != nil {
		return nil, place{}, err
	}
	from, err := p(conn)
	if err != nil {
		_ = conn.Close()
		return nil, place{}, err
	}
	return conn, from, nil
}

// Publish adds all records in one pipeline, in order, and tries once.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	pipe := redisconn.NewPipeline(d.client, len(records))
	for _, r := range records {
		metadata, err := encodeMetadata(r.Message.Metadata)
		if err != nil {
			pipe.Refuse(err)
			continue
		}
		pipe.Add(ctx, redisconn.EntryID, "XADD", r.Topic, "*",
			uuidField, r.Message.UUID, metadataField, metadata, payloadField, []byte(r.Message.Payload))
	}
	errs := pipe.Exec(ctx)
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("redisstream: publish on %s: %w", records[i].Topic, err)
		}
	}
	return errs
}

// Trim drops what is older than the retention by the server's own clock, a
// whole node of the stream at a time: it keeps rather more than asked.
func (d *Driver) Trim(ctx context.Context, topic string) error {
	now, err := d.client.Time(ctx).Result()
	if err == nil {
		oldest := now.Add(-d.retention).UnixMilli()
		err = d.client.XTrimMinIDApprox(ctx, topic, strconv.FormatInt(oldest, 10), 0).Err()
	}
	if err != nil {
		return fmt.Errorf("redisstream: trim %s: %w", topic, redisconn.Classify(err))
	}
	return nil
}

// RetentionAsked says whether the URL named a retention.
func (d *Driver) RetentionAsked() bool { return d.asked }

// Ping asks the server for a sign of life.
func (d *Driver) Ping(ctx context.Context) error {
	if err := d.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redisstream: ping: %w", redisconn.Classify(err))
	}
	return nil
}

// Close closes the connections that publishing uses and those that feeds share.
// Other feeds and groups have their own.
func (d *Driver) Close() error {
	d.closed.Store(true)
	return errors.Join(d.lanes.Close(), redisconn.Close(d.client))
}
