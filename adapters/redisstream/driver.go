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

// Defaults of the URL parameters.
const (
	// DefaultRetention, of retention, is how long entries are kept.
	DefaultRetention = time.Hour
	// DefaultClaimAfter, of claim_after, is how long a member of a group may keep an
	// entry without acking it, before the entry is given to another member.
	DefaultClaimAfter = time.Minute
)

// maxLookups is how many connections may be open at once to find the start of feeds
// that will share a connection. After a server was away, a thousand of these feeds
// begin again at the same moment.
const maxLookups = 16

// A Driver carries topics over Redis Streams. It is safe for concurrent use.
type Driver struct {
	transport.GroupLosses

	server   *redisconn.Server
	masters  *redisconn.Masters
	client   *redis.Client // of masters: for everything but reading and publishing
	log      *slog.Logger
	closed   atomic.Bool
	lineages lineages

	retention      time.Duration
	retentionGiven bool // the URL names a retention
	claimAfter     time.Duration

	slots   *redisconn.Slots // for the feeds that have a connection of their own
	lookups chan struct{}    // holds a token for each connection that finds a start
	shared  *redisconn.SharedConns[*sharedFeed, *sharedReader]
}

var (
	_ transport.Driver            = (*Driver)(nil)
	_ transport.LogDriver         = (*Driver)(nil)
	_ transport.Rewinder          = (*Driver)(nil)
	_ transport.WindowGroupDriver = (*Driver)(nil)
	_ transport.LossCounter       = (*Driver)(nil)
	_ transport.Trimmer           = (*Driver)(nil)
	_ transport.ConsumedTrimmer   = (*Driver)(nil)
	_ transport.Retainer          = (*Driver)(nil)
)

// Openers names this driver's URL schemes, redis-streams:// and, with TLS,
// rediss-streams://, for publisher.New and fanfare.WithOpeners.
func Openers() transport.Openers {
	return transport.Openers{"redis-streams": Open, "rediss-streams": Open}
}

// Open makes a [Driver] from a URL such as
// "redis-streams://127.0.0.1:6379/0?retention=1h&claim_after=1m&read_connections=16".
// The other parameters are those of [redisconn.Parse]. Open does not connect to the
// server.
//
// The parameter read_connections says how many feeds have a connection of their
// own. Further feeds share connections, up to [redisconn.FeedsPerConn] on each.
func Open(_ context.Context, u *url.URL, log *slog.Logger) (transport.Driver, error) {
	params := dsn.NewParams(u)
	server, err := redisconn.Parse(u, params)
	retention := params.Duration("retention", DefaultRetention, time.Second)
	claimAfter := params.Duration("claim_after", DefaultClaimAfter, time.Second)
	ownConns := params.Int("read_connections", redisconn.DefaultReadConnections, 0)
	if err := errors.Join(err, params.Err()); err != nil {
		return nil, err
	}
	masters := redisconn.NewMasters(server)
	return &Driver{
		server: server, masters: masters, client: masters.Client(), log: log,
		lineages:  lineages{masters: masters, topics: make(map[string]lineage)},
		retention: retention, retentionGiven: u.Query().Has("retention"), claimAfter: claimAfter,
		slots: redisconn.NewSlots(ownConns), lookups: make(chan struct{}, maxLookups),
		shared: newSharedConns(server, masters, log),
	}, nil
}

// Guarantees returns that there is a log with one order for all readers, delivery
// at least once, and consumer groups.
func (d *Driver) Guarantees() transport.Guarantees {
	return transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true, Groups: true}
}

// CheckTopic accepts any name that Redis can hold and a person can type.
func (d *Driver) CheckTopic(topic string) error { return redisconn.CheckTopic(topic) }

// Follow opens a feed of the entries after a position; after "" means after the
// newest entry. It returns a [transport.GapError] if it cannot prove that nothing
// after the position is missing.
func (d *Driver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	find, err := startAfter(topic, after)
	if err != nil {
		return nil, err
	}
	f, err := d.openFeed(ctx, topic, find)
	if err == nil {
		return f, nil
	}
	if gap := (*transport.GapError)(nil); errors.As(err, &gap) {
		return nil, err
	}
	return nil, fmt.Errorf("redisstream: follow %s: %w", topic, d.classify(topic, err))
}

// FollowSince opens a feed of the entries from time t on. The time of an entry is
// in its id: it is the server's, unless a publisher has chosen the id itself.
func (d *Driver) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	f, err := d.openFeed(ctx, topic, startSince(topic, t))
	if err != nil {
		return nil, fmt.Errorf("redisstream: follow %s since %s: %w",
			topic, t.UTC().Format(time.RFC3339), d.classify(topic, err))
	}
	return f, nil
}

// openFeed opens a feed that begins where find says: on a connection of its own if
// a slot for one is free, otherwise on a shared connection.
func (d *Driver) openFeed(ctx context.Context, topic string, find startFinder) (transport.Feed, error) {
	if d.closed.Load() {
		return nil, domain.ErrClosed
	}
	release, ok := d.slots.Take()
	if !ok {
		return d.openSharedFeed(ctx, topic, find)
	}
	conn, logID, start, err := d.dialAndFind(ctx, topic, find)
	if err != nil {
		release()
		return nil, err
	}
	return newFeed(conn, topic, logID, start, d.server.ReplyTimeout(), release), nil
}

// openSharedFeed opens a feed on a shared connection. The start is found on another
// connection, because the goroutine that reads the shared one must not wait for it.
// Only a topic that is just being moved is read on that other connection, since what
// is asked of the shared one is not asked for a single topic.
func (d *Driver) openSharedFeed(
	ctx context.Context, topic string, find startFinder,
) (transport.Feed, error) {
	conn, logID, start, err := d.findStart(ctx, topic, find)
	if err != nil {
		return nil, err
	}
	if conn.Asking() {
		return newFeed(conn, topic, logID, start, d.server.ReplyTimeout(), func() {}), nil
	}
	_ = conn.Close()
	f := newSharedFeed(topic, logID, start)
	if f.shared, err = d.shared.Join(ctx, conn.Addr(), topic, f); err != nil {
		return nil, err
	}
	return f, nil
}

// findStart is dialAndFind for a bounded number of callers at once.
func (d *Driver) findStart(
	ctx context.Context, topic string, find startFinder,
) (*redisconn.Conn, domain.LogID, progress, error) {
	select {
	case d.lookups <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, progress{}, ctx.Err()
	}
	defer func() { <-d.lookups }()
	return d.dialAndFind(ctx, topic, find)
}

// dialAndFind opens a connection to the server that holds the topic, calls find with
// it, and tells the identity of the topic's log.
func (d *Driver) dialAndFind(
	ctx context.Context, topic string, find startFinder,
) (conn *redisconn.Conn, logID domain.LogID, start progress, err error) {
	var history redisconn.History
	conn, err = d.masters.Open(ctx, topic, func(conn *redisconn.Conn) (err error) {
		if d.server.IsCluster() {
			if history, err = askHistory(ctx, conn); err != nil {
				return err
			}
		}
		start, err = find(ctx, conn)
		return err
	})
	if err != nil {
		return nil, 0, progress{}, err
	}
	if d.server.IsCluster() {
		return conn, d.lineages.log(ctx, topic, history), start, nil
	}
	return conn, d.logOf(topic), start, nil
}

// logOf identifies the log of a topic on a server that belongs to no cluster.
func (d *Driver) logOf(topic string) domain.LogID {
	return domain.NewLogID("redis-streams", strconv.Itoa(d.server.DB()), topic)
}

// askHistory asks for the server's history before anything is asked about a topic. If
// another server has been promoted by then, what is asked next is redirected.
func askHistory(ctx context.Context, conn *redisconn.Conn) (redisconn.History, error) {
	defer conn.Bind(ctx)()
	return conn.History()
}

// Tail returns the position of the newest entry. If the stream has none, it returns
// the position of the last entry that it had.
func (d *Driver) Tail(ctx context.Context, topic string) (domain.Position, error) {
	newest, err := d.tail(ctx, topic)
	if err != nil {
		return "", fmt.Errorf("redisstream: tail of %s: %w", topic, d.classify(topic, err))
	}
	return newest.position(), nil
}

func (d *Driver) tail(ctx context.Context, topic string) (id, error) {
	newest, err := d.client.XRevRangeN(ctx, topic, "+", "-", 1).Result()
	if err != nil {
		return id{}, err
	}
	if len(newest) > 0 {
		return parseID([]byte(newest[0].ID))
	}
	info, err := d.client.XInfoStream(ctx, topic).Result()
	switch {
	case redis.HasErrorPrefix(err, "no such key"):
		return id{}, nil
	case err != nil:
		return id{}, err
	}
	return parseID([]byte(info.LastGeneratedID))
}

// Publish adds all records in one pipeline, in order. It tries once.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	pipe := d.masters.NewPipeline(len(records))
	for _, r := range records {
		metadata, err := encodeMetadata(r.Message.Metadata)
		if err != nil {
			pipe.Refuse(err)
			continue
		}
		pipe.Add(r.Topic, redisconn.IsEntryID, "XADD", r.Topic, "*",
			uuidField, r.Message.UUID, metadataField, metadata, payloadField, []byte(r.Message.Payload))
	}
	errs := pipe.Exec(ctx)
	d.locate(ctx, records, pipe)
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("redisstream: %w", err) // the Transport names the topic
		}
	}
	return errs
}

// Ping asks the server for a sign of life.
func (d *Driver) Ping(ctx context.Context) error {
	if err := d.masters.Ping(ctx); err != nil {
		return fmt.Errorf("redisstream: ping: %w", d.classify("", err))
	}
	return nil
}

// classify says what an error about a topic means, and what can be done about it.
func (d *Driver) classify(topic string, err error) error {
	return redisconn.Classify(d.server.Explain(topic, err))
}

// Close closes the connections that publishing uses and those that feeds share.
// Other feeds, and groups, have connections of their own, which their owners close.
func (d *Driver) Close() error {
	d.closed.Store(true)
	return errors.Join(d.shared.Close(), d.masters.Close())
}
