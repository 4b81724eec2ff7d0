package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// defaultRetention is how long new topics keep records if the URL does not say.
const defaultRetention = time.Hour

// A Driver carries topics over Kafka. It is safe for concurrent use.
type Driver struct {
	transport.GroupLosses

	cluster   *cluster
	client    *kgo.Client // for everything but feeds and groups
	template  topicTemplate
	compress  kgo.Compressor // nil: no compression
	log       *slog.Logger
	progress  progressTable
	inspector *transport.Inspector

	mu       sync.Mutex
	topics   map[string]topic   // as they were last described, by name; guarded by mu
	verdicts map[string]verdict // on topics' settings, by name; guarded by mu
}

var (
	_ transport.Driver            = (*Driver)(nil)
	_ transport.LogDriver         = (*Driver)(nil)
	_ transport.Rewinder          = (*Driver)(nil)
	_ transport.WindowGroupDriver = (*Driver)(nil)
	_ transport.LossCounter       = (*Driver)(nil)
)

// Openers names this driver's URL scheme, kafka://, for publisher.New and
// fanfare.WithOpeners.
func Openers() transport.Openers { return transport.Openers{"kafka": Open} }

// Open makes a Driver from a URL such as
// "kafka://user:password@a:9092,b:9092?retention=6h". It does not wait for the
// brokers. The parameters:
//
//	retention       how long the topics that we create keep records, default 1h
//	replicas        how many brokers hold them; default: the cluster's default
//	create          false: topics are never created; default true
//	acks            who must have a record: all in-sync replicas (all, the default) or leader
//	compression     none (the default), gzip, snappy, lz4 or zstd
//	sasl            how the user of the URL logs in: plain (the default), scram-sha-256 or scram-sha-512
//	client_id       the name in the brokers' logs and quotas, default fanfare
//	dial_timeout    to connect, default 3s
//	reply_timeout   for an answer, default 2s
//	tls…            those of [dsn.Params.TLS]
func Open(_ context.Context, u *url.URL, log *slog.Logger) (transport.Driver, error) {
	params := dsn.NewParams(u)
	c, clusterErr := parseCluster(u, params)
	compress, compressErr := compressor(params.String("compression", "none"))
	d := &Driver{
		cluster: c, compress: compress, log: log, inspector: transport.NewInspector(log),
		progress: progressTable{byTopic: make(map[string]progress)},
		topics:   make(map[string]topic), verdicts: make(map[string]verdict),
		template: topicTemplate{
			create:    params.Bool("create", true),
			retention: params.Duration("retention", defaultRetention, time.Second),
			replicas:  params.IntTo("replicas", -1, 1, math.MaxInt16),
		},
	}
	err := errors.Join(clusterErr, compressErr, params.Err())
	if err != nil {
		return nil, err
	}
	if d.client, err = c.newClient(c.seeds); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return d, nil
}

// Guarantees are: a log in one order, at least once, and consumer groups.
func (d *Driver) Guarantees() transport.Guarantees {
	return transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true, Groups: true}
}

// Follow opens a feed of what comes after a position. The feed has a connection of its own.
func (d *Driver) Follow(
	ctx context.Context, name string, after domain.Position,
) (transport.Feed, error) {
	if after == "" {
		return d.follow(ctx, name, false, func(t topic) (int64, error) {
			return d.offset(ctx, t, latestOffset)
		})
	}
	at, err := parsePosition(after)
	if err != nil {
		return nil, gapError(domain.UnknownCursor, "%v", err)
	}
	return d.follow(ctx, name, true, func(t topic) (int64, error) { return at, d.prove(ctx, t, at) })
}

// FollowSince opens a feed that begins with the first record whose time is t or later. Where
// the topic says LogAppendTime, as topics that the Driver creates do, that is the brokers'
// time; else it is the producers'.
func (d *Driver) FollowSince(ctx context.Context, name string, since time.Time) (transport.Feed, error) {
	ms := max(since.UnixMilli(), 0)
	return d.follow(ctx, name, false, func(t topic) (int64, error) {
		at, err := d.offset(ctx, t, ms)
		if err == nil && at < 0 {
			at, err = d.offset(ctx, t, latestOffset)
		}
		if err == nil {
			err = d.noteTail(ctx, t)
		}
		return at, err
	})
}

// follow opens a feed at the offset that begin returns. If the log does not hold this
// offset, that is a gap if the caller has asked for the offset (explicit). If not, the topic
// has changed since begin was called, and begin is called again.
func (d *Driver) follow(
	ctx context.Context, name string, explicit bool, begin func(topic) (int64, error),
) (transport.Feed, error) {
	for {
		f, err := d.open(ctx, name, begin)
		if err == nil {
			return f, nil
		}
		gap := (*transport.GapError)(nil)
		isGap := errors.As(err, &gap)
		again := isUnsettled(err) || !explicit && isGap
		switch {
		case again && pause.For(ctx, settlePause):
		case isGap:
			return nil, err
		default:
			return nil, fmt.Errorf("kafka: follow %s: %w", name, classify(err))
		}
	}
}

// open opens a feed. Its first fetch proves that the log holds the offset at which the feed
// begins.
func (d *Driver) open(
	ctx context.Context, name string, begin func(topic) (int64, error),
) (*feed, error) {
	t, err := d.find(ctx, name)
	if err != nil {
		return nil, err
	}
	at, err := begin(t)
	if err != nil {
		return nil, err
	}
	f, err := newFeed(d, t, at)
	if err != nil {
		return nil, err
	}
	if err := f.fetch(ctx, 0); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Tail returns the position of the topic's last record. It creates no topic.
func (d *Driver) Tail(ctx context.Context, name string) (domain.Position, error) {
	t, err := d.peek(ctx, name)
	if errors.Is(err, errMissing) {
		return position(0), nil
	}
	var at int64
	if err == nil {
		_ = d.inspect(ctx, t) // which logs what it finds
		at, err = d.tail(ctx, t)
	}
	if err != nil {
		d.forget(name)
		return "", fmt.Errorf("kafka: tail of %s: %w", name, classify(err))
	}
	return position(at), nil
}

// peek returns the topic as it was last described, else as the cluster describes it now.
func (d *Driver) peek(ctx context.Context, name string) (topic, error) {
	if t, ok := d.cached(name); ok {
		return t, nil
	}
	t, err := d.describe(ctx, name)
	if err == nil {
		d.cache(t)
	}
	return t, err
}

// Ping asks one broker after the other, those that the cluster has named and those of the
// URL, until one answers. They share the time until ctx ends, so that a broker that does not
// answer leaves time for the next.
func (d *Driver) Ping(ctx context.Context) error {
	brokers := append(d.client.DiscoveredBrokers(), d.client.SeedBrokers()...)
	var faults []error
	for i, b := range brokers {
		err := ping(ctx, b, len(brokers)-i)
		if err == nil {
			return nil
		}
		faults = append(faults, err)
	}
	return fmt.Errorf("kafka: ping: %w", classify(errors.Join(faults...)))
}

// ping asks one broker, and waits for at most one of the given number of equal shares of the
// time until ctx ends.
func ping(ctx context.Context, b *kgo.Broker, shares int) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(shares))
		defer cancel()
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	_, err := b.Request(ctx, req)
	return err
}

// Close closes the client for everything but feeds and groups, which have their own.
func (d *Driver) Close() error {
	d.client.Close()
	return nil
}
