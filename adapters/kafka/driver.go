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
)

// defaultRetention is how long new topics keep records if the URL does not say.
const defaultRetention = time.Hour

// A Driver carries topics over Kafka. It is safe for concurrent use.
type Driver struct {
	server   *server
	client   *kgo.Client // for all but feeds and groups
	recipe   recipe
	compress kgo.Compressor // nil: not at all
	log      *slog.Logger
	places   places
	about    *transport.Inspector

	mu       sync.Mutex
	topics   map[string]topic   // as they were last seen; guarded by mu
	verdicts map[string]verdict // on topics' settings, by topic; guarded by mu
}

var (
	_ transport.Driver      = (*Driver)(nil)
	_ transport.LogDriver   = (*Driver)(nil)
	_ transport.GroupDriver = (*Driver)(nil)
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
//	tls…            those of dsn.Params.TLS
func Open(_ context.Context, u *url.URL, log *slog.Logger) (transport.Driver, error) {
	params := dsn.NewParams(u)
	server, err := parseServer(u, params)
	compress, err2 := compressor(params.String("compression", "none"))
	d := &Driver{
		server: server, compress: compress, log: log, topics: make(map[string]topic), places: places{of: make(map[string]place)},
		about: transport.NewInspector(log), verdicts: make(map[string]verdict),
		recipe: recipe{
			allowed:   params.Bool("create", true),
			retention: params.Duration("retention", defaultRetention, time.Second),
			replicas:  params.IntTo("replicas", -1, 1, math.MaxInt16),
		},
	}
	if err := errors.Join(err, err2, params.Err()); err != nil {
		return nil, err
	}
	if d.client, err = server.client(server.seeds); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return d, nil
}

// Guarantees: a log in one order, at least once, and consumer groups.
func (d *Driver) Guarantees() transport.Guarantees {
	return transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true, Groups: true}
}

// Follow opens a feed on a connection of its own.
func (d *Driver) Follow(ctx context.Context, name string, after domain.Position) (transport.Feed, error) {
	if after == "" {
		return d.follow(ctx, name, false, func(t topic) (int64, error) { return d.offset(ctx, t, latest) })
	}
	at, err := parsePosition(after)
	if err != nil {
		return nil, lost(domain.UnknownCursor, "%v", err)
	}
	return d.follow(ctx, name, true, func(t topic) (int64, error) { return at, d.prove(ctx, t, at) })
}

// FollowSince opens a feed of the records from the first on whose time is t or
// later. Times are the brokers' own where the topic says LogAppendTime, as those
// that we create do; else its publishers'.
func (d *Driver) FollowSince(ctx context.Context, name string, since time.Time) (transport.Feed, error) {
	ms := max(since.UnixMilli(), 0)
	return d.follow(ctx, name, false, func(t topic) (int64, error) {
		at, err := d.offset(ctx, t, ms)
		if err == nil && at < 0 {
			at, err = d.offset(ctx, t, latest)
		}
		if err == nil {
			err = d.learn(ctx, t)
		}
		return at, err
	})
}

// follow opens a feed at the offset that begin returns. That it may not be there
// is a break if it was asked for, else begin is asked again: the topic has
// changed meanwhile.
func (d *Driver) follow(ctx context.Context, name string, asked bool, begin func(topic) (int64, error)) (transport.Feed, error) {
	for {
		f, err := d.open(ctx, name, begin)
		if err == nil {
			return f, nil
		}
		broken := (*transport.GapError)(nil)
		again := unsettled(err) || !asked && errors.As(err, &broken)
		switch {
		case again && pause(ctx, settle):
		case errors.As(err, &broken):
			return nil, err
		default:
			return nil, fmt.Errorf("kafka: follow %s: %w", name, classify(err))
		}
	}
}

// open opens a feed. What it fetches first is the proof that the log holds the
// place where it begins.
func (d *Driver) open(ctx context.Context, name string, begin func(topic) (int64, error)) (*feed, error) {
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

// Tail asks where the log ends, and looks at its last batch.
func (d *Driver) Tail(ctx context.Context, name string) (domain.Position, error) {
	t, err := d.glance(ctx, name)
	if errors.Is(err, errMissing) {
		return position(0), nil
	}
	var at int64
	if err == nil {
		_ = d.inspect(ctx, t) // the log tells
		at, err = d.tail(ctx, t)
	}
	if err != nil {
		d.forget(name)
		return "", fmt.Errorf("kafka: tail of %s: %w", name, classify(err))
	}
	return position(at), nil
}

// glance returns the topic as it was last seen, or as it is if it exists.
func (d *Driver) glance(ctx context.Context, name string) (topic, error) {
	if t, ok := d.seen(name); ok {
		return t, nil
	}
	t, err := d.describe(ctx, name)
	if err == nil {
		d.remember(t)
	}
	return t, err
}

// Ping asks one broker after the other, those that are known and those of the
// URL, until one answers. They share the time, so that one that swallows bytes
// leaves some for the next.
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

func ping(ctx context.Context, b *kgo.Broker, share int) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(share))
		defer cancel()
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	_, err := b.Request(ctx, req)
	return err
}

// Close closes the connections that publishing uses. Groups have their own.
func (d *Driver) Close() error {
	d.client.Close()
	return nil
}
