package natscore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
)

// A Driver carries topics over core NATS. It is safe for concurrent use.
type Driver struct {
	pubClient *natsconn.Client // publishes and pings
	subClient *natsconn.Client // of feeds and groups
	bounds    natsconn.Bounds  // of a feed's mailbox
	log       *slog.Logger
}

var (
	_ transport.Driver            = (*Driver)(nil)
	_ transport.WindowGroupDriver = (*Driver)(nil)
)

// Openers names this driver's URL schemes, nats:// and tls://, for publisher.New
// and fanfare.WithOpeners. The clients of NATS write tls:// for nats:// with TLS.
func Openers() transport.Openers {
	return transport.Openers{"nats": Open, "tls": Open}
}

// Open makes a Driver from a URL such as "nats://127.0.0.1:4222". Beside the
// parameters of [natsconn.Parse] there are two for how much may wait for a feed's
// reader before the feed ends:
//
//	pending_messages  default 65536
//	pending_bytes     default 33554432
//
// Open does not wait for the server.
func Open(_ context.Context, u *url.URL, log *slog.Logger) (transport.Driver, error) {
	params := dsn.NewParams(u)
	server, err := natsconn.Parse(u, params)
	bounds := natsconn.Bounds{
		Messages: params.IntTo("pending_messages", 1<<16, 1, 1<<30),
		Bytes:    params.IntTo("pending_bytes", 32<<20, 1, 1<<40),
	}
	if err := errors.Join(err, params.Err()); err != nil {
		return nil, err
	}
	return &Driver{
		pubClient: server.Client(), subClient: server.Client(), bounds: bounds, log: log,
	}, nil
}

// Guarantees are: at most once, nothing is kept, order per publisher, queue groups.
func (d *Driver) Guarantees() transport.Guarantees { return transport.Guarantees{Groups: true} }

// CheckTopic accepts subjects on which one can publish.
func (d *Driver) CheckTopic(topic string) error { return natsconn.CheckTopic(topic) }

// Follow subscribes, and returns when the server has confirmed that. There are no
// positions, so after must be "".
func (d *Driver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if after != "" {
		return nil, fmt.Errorf("natscore: follow %s after a position: %w", topic, domain.ErrUnsupported)
	}
	f, err := d.subscribe(ctx, topic, "")
	if err != nil {
		return nil, fmt.Errorf("natscore: follow %s: %w", topic, natsconn.ClassifyRefusal(err))
	}
	return f, nil
}

func (d *Driver) subscribe(ctx context.Context, topic, group string) (*feed, error) {
	conn, err := d.subClient.Conn(ctx)
	if err != nil {
		return nil, err
	}
	box, err := conn.Mailbox(ctx, topic, group, d.bounds)
	if err != nil {
		return nil, err
	}
	return &feed{conn: conn, box: box, topic: topic}, nil
}

// Publish sends all records in order and then pings the server, once. When the server
// answers the ping it has processed all records, and has taken those that it has not
// refused by then.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	errs := natsconn.Unanswered(len(records))
	if err := d.publish(ctx, records, errs); err != nil {
		natsconn.FillUnanswered(errs, err)
	}
	failed := false
	for i, err := range errs {
		if err != nil {
			failed = true
			errs[i] = fmt.Errorf("natscore: %w", natsconn.ClassifyRefusal(err)) // the Transport names the topic
		}
	}
	if !failed {
		return nil
	}
	return errs
}

// publish sets the errors of those records whose outcome it knows. The error that it
// returns is that of all others.
func (d *Driver) publish(ctx context.Context, records []transport.Outgoing, errs []error) error {
	conn, err := d.pubClient.Conn(ctx)
	if err != nil {
		return err
	}
	refusals := conn.WatchRefusals()
	defer refusals.Stop()
	for i, r := range records {
		if err := send(ctx, conn, r); err != nil {
			errs[i] = err
		}
	}
	if err := conn.Sync(ctx); err != nil {
		return err
	}
	if err := refusals.Settle(ctx); err != nil {
		return err
	}
	setOutcomes(records, errs, refusals)
	return nil
}

// setOutcomes sets the errors of the records that the server has processed. Of the
// records of one topic it refuses either none or all, unless the user's rights changed
// meanwhile; then it is unknown which of them it refused.
func setOutcomes(records []transport.Outgoing, errs []error, refusals *natsconn.Refusals) {
	sent, outcome := make(map[string]int, 1), make(map[string]error, 1)
	for i, r := range records {
		if errs[i] == natsconn.ErrUnanswered {
			sent[r.Topic]++
		}
	}
	for topic, n := range sent {
		times, err := refusals.OfPublish(topic)
		if times > 0 && times != n {
			err = fmt.Errorf("%w: of %d messages the server refused %d, and does not say which: %v",
				domain.ErrBusDown, n, times, err)
		}
		outcome[topic] = err
	}
	for i, r := range records {
		if errs[i] == natsconn.ErrUnanswered {
			errs[i] = outcome[r.Topic]
		}
	}
}

func send(ctx context.Context, conn *natsconn.Conn, r transport.Outgoing) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m, err := natsconn.Encode(r)
	if err != nil {
		return err
	}
	return conn.PublishMsg(m)
}

// Ping asks the server for a sign of life.
func (d *Driver) Ping(ctx context.Context) error {
	conn, err := d.pubClient.Conn(ctx)
	if err == nil {
		err = conn.Sync(ctx)
	}
	if err != nil {
		return fmt.Errorf("natscore: ping: %w", natsconn.Classify(err))
	}
	return nil
}

// Group returns a subscriber in a [queue group]. Delivery is at most once here too:
// the server sends a message to one member and forgets it. The member's handler is
// given the message again until it acks, or until the subscription ends.
//
// [queue group]: https://docs.nats.io/nats-concepts/core-nats/queue
func (d *Driver) Group(name string) (message.Subscriber, error) { return d.GroupWindow(name, 1) }

// GroupWindow is Group for a member that holds up to inFlight messages of each topic.
func (d *Driver) GroupWindow(name string, inFlight int) (message.Subscriber, error) {
	if natsconn.CheckTopic(name) != nil {
		return nil, fmt.Errorf("natscore: %w: group %q: a queue group's name has no spaces and no wildcards",
			domain.ErrInvalid, name)
	}
	join := func(ctx context.Context, topic string) (natsconn.Membership, error) {
		f, err := d.subscribe(ctx, topic, name)
		if err != nil {
			return nil, fmt.Errorf("natscore: group %s: subscribe to %s: %w", name, topic, err)
		}
		return &membership{feed: f}, nil
	}
	return natsconn.NewGroup(name, inFlight, join, d.log)
}

// Close ends both connections.
func (d *Driver) Close() error { return errors.Join(d.pubClient.Close(), d.subClient.Close()) }
