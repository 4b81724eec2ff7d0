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
	talk   *natsconn.Client // publishes and pings
	listen *natsconn.Client // feeds and groups: what goes wrong with the other does not end them
	keep   natsconn.Bounds
	log    *slog.Logger
}

var (
	_ transport.Driver      = (*Driver)(nil)
	_ transport.GroupDriver = (*Driver)(nil)
)

// Openers names this driver's URL schemes, nats:// and tls://, for publisher.New
// and fanfare.WithOpeners. The clients of NATS write tls:// for nats:// with TLS.
func Openers() transport.Openers {
	return transport.Openers{"nats": Open, "tls": Open}
}

// Open makes a Driver from a URL such as "nats://127.0.0.1:4222". Parameters
// beside those of natsconn.Parse say how much may wait for a feed's reader
// before the feed ends:
//
//	pending_messages  default 65536
//	pending_bytes     default 33554432
//
// It does not wait for the server.
func Open(_ context.Context, u *url.URL, log *slog.Logger) (transport.Driver, error) {
	params := dsn.NewParams(u)
	server, err := natsconn.Parse(u, params)
	keep := natsconn.Bounds{
		Messages: params.IntTo("pending_messages", 1<<16, 1, 1<<30),
		Bytes:    params.IntTo("pending_bytes", 32<<20, 1, 1<<40),
	}
	if err := errors.Join(err, params.Err()); err != nil {
		return nil, err
	}
	return &Driver{talk: server.Client(), listen: server.Client(), keep: keep, log: log}, nil
}

// Guarantees: at most once, nothing kept, order per publisher, queue groups.
func (d *Driver) Guarantees() transport.Guarantees { return transport.Guarantees{Groups: true} }

// CheckTopic accepts what is a subject to publish on.
func (d *Driver) CheckTopic(topic string) error { return natsconn.CheckTopic(topic) }

// Follow subscribes and returns when the server has confirmed. There are no
// positions: after must be "".
func (d *Driver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if after != "" {
		return nil, fmt.Errorf("natscore: follow %s after a position: %w", topic, domain.ErrUnsupported)
	}
	f, err := d.follow(ctx, topic, "")
	if err != nil {
		return nil, fmt.Errorf("natscore: follow %s: %w", topic, natsconn.Refused(err))
	}
	return f, nil
}

func (d *Driver) follow(ctx context.Context, topic, group string) (*feed, error) {
	conn, err := d.listen.Conn(ctx)
	if err != nil {
		return nil, err
	}
	box, err := conn.Mailbox(ctx, topic, group, d.keep)
	if err != nil {
		return nil, err
	}
	return &feed{conn: conn, box: box, topic: topic}, nil
}

// Publish sends all records in order and then asks the server for an answer,
// once: what it has not refused by then it has taken. That is all there is to be
// known: core NATS does not confirm single messages, and the server that took
// one may still lose it.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	errs := natsconn.Unanswered(len(records))
	if err := d.publish(ctx, records, errs); err != nil {
		natsconn.Fill(errs, err)
	}
	failed := false
	for i, err := range errs {
		if err != nil {
			failed = true
			errs[i] = fmt.Errorf("natscore: publish on %s: %w", records[i].Topic, natsconn.Refused(err))
		}
	}
	if !failed {
		return nil
	}
	return errs
}

// publish gives the records their outcome, except those that have the error that
// it returns.
func (d *Driver) publish(ctx context.Context, records []transport.Outgoing, errs []error) error {
	conn, err := d.talk.Conn(ctx)
	if err != nil {
		return err
	}
	refused := conn.Watch()
	defer refused.Stop()
	for i, r := range records {
		if err := send(ctx, conn, r); err != nil {
			errs[i] = err
		}
	}
	if err := conn.Sync(ctx); err != nil {
		return err
	}
	if err := refused.Settle(ctx); err != nil {
		return err
	}
	judge(records, errs, refused)
	return nil
}

// judge gives the records that the server has dealt with their outcome. Of those
// of one topic it refuses all, or its user's rights have just changed: which of
// them it refused is not known then.
func judge(records []transport.Outgoing, errs []error, refused *natsconn.Watch) {
	sent, outcome := make(map[string]int, 1), make(map[string]error, 1)
	for i, r := range records {
		if errs[i] == natsconn.ErrUnanswered {
			sent[r.Topic]++
		}
	}
	for topic, n := range sent {
		times, err := refused.Publish(topic)
		if times > 0 && times != n {
			err = fmt.Errorf("%w: of %d messages the server refused %d, and does not say which: %v", domain.ErrBusDown, n, times, err)
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
	conn, err := d.talk.Conn(ctx)
	if err == nil {
		err = conn.Sync(ctx)
	}
	if err != nil {
		return fmt.Errorf("natscore: ping: %w", natsconn.Classify(err))
	}
	return nil
}

// Group returns a subscriber in a queue group. Delivery is at most once here
// too: the server hands a message to one member and forgets it; that one is
// given it again until it acks, or ends.
func (d *Driver) Group(name string) (message.Subscriber, error) {
	if natsconn.CheckTopic(name) != nil {
		return nil, fmt.Errorf("natscore: %w: group %q: a queue group's name has no spaces and no wildcards", domain.ErrInvalid, name)
	}
	return natsconn.NewGroup(name, func(ctx context.Context, topic string) (natsconn.Membership, error) {
		f, err := d.follow(ctx, topic, name)
		if err != nil {
			return nil, fmt.Errorf("natscore: group %s: subscribe to %s: %w", name, topic, err)
		}
		return &membership{feed: f}, nil
	}, d.log)
}

// Close ends the connections.
func (d *Driver) Close() error { return errors.Join(d.talk.Close(), d.listen.Close()) }
