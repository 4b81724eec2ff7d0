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

	// maxLookups is how many connections are open at once to find places for feeds
	// that will share one: a thousand of these begin again at the same moment
	// when the server was away.
	maxLookups = 16
)

// A Driver carries topics over Redis Streams. It is safe for concurrent use.
type Driver struct {
	server         *redisconn.Server
	client         *redis.Client
	retention      time.Duration
	retentionGiven bool // for this retention
	claimAfter     time.Duration
	log            *slog.Logger
	closed         atomic.Bool

	slots   *redisconn.Slots // for feeds with a connection of their own
	lookups chan struct{}    // a token for each connection that looks for another feed's place
	shared  *redisconn.SharedConns[*sharedFeed, *sharedReader]
}

var (
	_ transport.Driver      = (*Driver)(nil)
	_ transport.LogDriver   = (*Driver)(nil)
	_ transport.GroupDriver = (*Driver)(nil)
	_ transport.Trimmer     = (*Driver)(nil)
	_ transport.Retainer    = (*Driver)(nil)
)

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
	own := params.Int("read_connections", redisconn.DefaultReadConnections, 0)
	if err := errors.Join(err, params.Err()); err != nil {
		return nil, err
	}
	d := &Driver{
		server: server, client: server.Client(),
		retention: retention, retentionGiven: u.Query().Has("retention"), claimAfter: claim, log: log,
		slots: redisconn.NewSlots(own), lookups: make(chan struct{}, maxLookups),
	}
	d.shared = redisconn.NewSharedConns(redisconn.SharedConfig[*sharedFeed, *sharedReader]{
		Dial: server.Dial,
		State: func(c *redisconn.Conn) *sharedReader {
			return &sharedReader{conn: c, replyTimeout: server.ReplyTimeout(), entrySize: batchBytes / transport.BatchSize}
		},
		Serve: func(l *sharedConn) error { return l.State.serve(l) },
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
	f, err := d.openFeed(ctx, topic, func(c *redisconn.Conn) (progress, error) { return findSince(ctx, c, topic, t) })
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
	from := progress{ordinal: -1}
	if after != "" {
		var err error
		if from.last, err = parsePosition(after); err != nil {
			return nil, gapError(domain.UnknownCursor, "%v", err)
		}
		if (from.last == id{}) {
			from.ordinal = 0
		}
	}
	return d.openFeed(ctx, topic, func(c *redisconn.Conn) (progress, error) {
		s, present, err := inspect(ctx, c, topic, from.last)
		switch {
		case err != nil:
		case after == "", s.exists && s.lastGenerated == from.last:
			return progress{last: s.lastGenerated, ordinal: s.entriesAdded}, nil
		case !present:
			err = s.prove(from, 0)
		}
		return from, err
	})
}

// openFeed makes a feed that begins where place says: on a connection of its own
// if there is a slot for it, else on one that it shares.
func (d *Driver) openFeed(ctx context.Context, topic string, place startFinder) (transport.Feed, error) {
	if d.closed.Load() {
		return nil, domain.ErrClosed
	}
	log := domain.NewLogID("redis-streams", strconv.Itoa(d.server.DB()), topic)
	release, own := d.slots.Take()
	if !own {
		return d.openSharedFeed(ctx, topic, log, place)
	}
	conn, from, err := d.dialAndFind(ctx, place)
	if err != nil {
		release()
		return nil, err
	}
	return &feed{
		conn: conn, topic: topic, begin: from.last, progress: from,
		replyTimeout: d.server.ReplyTimeout(), count: transport.BatchSize, log: log, release: release,
	}, nil
}

// openSharedFeed is open on a connection that others use, too. The place is found
// on another one, which ends then.
func (d *Driver) openSharedFeed(
	ctx context.Context, topic string, log domain.LogID, place startFinder,
) (transport.Feed, error) {
	from, err := d.findStart(ctx, place)
	if err != nil {
		return nil, err
	}
	f := newSharedFeed(topic, log, from)
	if f.shared, err = d.shared.Join(ctx, topic, f); err != nil {
		return nil, err
	}
	return f, nil
}

// A startFinder finds the place where a feed begins.
type startFinder func(*redisconn.Conn) (progress, error)

func (d *Driver) findStart(ctx context.Context, p startFinder) (progress, error) {
	select {
	case d.lookups <- struct{}{}:
	case <-ctx.Done():
		return progress{}, ctx.Err()
	}
	defer func() { <-d.lookups }()
	conn, from, err := d.dialAndFind(ctx, p)
	if err == nil {
		_ = conn.Close()
	}
	return from, err
}

// dialAndFind opens a connection and finds the place on it.
func (d *Driver) dialAndFind(ctx context.Context, p startFinder) (*redisconn.Conn, progress, error) {
	conn, err := d.server.Dial(ctx)
	if err != nil {
		return nil, progress{}, err
	}
	from, err := p(conn)
	if err != nil {
		_ = conn.Close()
		return nil, progress{}, err
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
		pipe.Add(ctx, redisconn.IsEntryID, "XADD", r.Topic, "*",
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
func (d *Driver) RetentionAsked() bool { return d.retentionGiven }

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
	return errors.Join(d.shared.Close(), redisconn.Close(d.client))
}
