package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// ackWait is how long the server waits for a member's answer or sign of progress
	// before it gives the message to another member.
	ackWait = 30 * time.Second
	// nackPause is how long the server waits before it delivers a message again that
	// was nacked.
	nackPause = 100 * time.Millisecond
	// drainTimeout bounds the end of a membership.
	drainTimeout = time.Second
)

// Group returns a subscriber in a consumer group. The group is a durable consumer of
// each topic's stream, which is created when a member first subscribes. A new group
// begins with the oldest message of the stream.
//
// The consumer outlives its members, until somebody deletes it: `nats consumer rm`.
// Messages that are trimmed before the group has read them are lost to it: see
// [Driver.Lost].
func (d *Driver) Group(name string) (message.Subscriber, error) { return d.GroupWindow(name, 1) }

// GroupWindow is Group for a member that holds up to inFlight messages of each topic.
func (d *Driver) GroupWindow(name string, inFlight int) (message.Subscriber, error) {
	join := func(ctx context.Context, topic string) (natsconn.Membership, error) {
		m, err := d.join(ctx, name, topic)
		if err != nil {
			return nil, fmt.Errorf("jetstream: group %s: subscribe to %s: %w", name, topic, err)
		}
		return m, nil
	}
	return natsconn.NewGroup(name, inFlight, join, d.log)
}

// consumerName makes the name of a group's consumer.
func consumerName(group, topic string) string { return streamName(group) + "_" + streamName(topic) }

func (d *Driver) join(ctx context.Context, group, topic string) (*membership, error) {
	conn, err := d.subClient.Conn(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*d.replyTimeout)
	defer cancel()
	m := &membership{d: d, group: group, topic: topic}
	err = api{conn, d.jsDomain}.call(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		consumer, err := d.groupConsumer(ctx, js, group, topic)
		if err != nil {
			return err
		}
		m.stream, m.consumer = consumer.CachedInfo().Stream, consumer.CachedInfo().Name
		m.js = js
		m.lookForLosses(ctx)
		m.messages, err = consumer.Messages(jetstream.PullMaxMessages(1),
			jetstream.PullExpiry(requestExpiry), jetstream.PullHeartbeat(heartbeatInterval))
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// groupConsumer creates a group's consumer of a topic, or finds it.
func (d *Driver) groupConsumer(
	ctx context.Context, js jetstream.JetStream, group, topic string,
) (jetstream.Consumer, error) {
	stream, err := d.template.findOrCreate(ctx, js, topic)
	if err != nil {
		return nil, err
	}
	switch info, err := streamInfo(ctx, js, stream); {
	case err == nil:
		inspect(d.inspector, &info.Config, topic)
		if err := checkFit(&info.Config, topic, unusable); err != nil {
			return nil, err
		}
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, err
	}
	name := consumerName(group, topic)
	created, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: topic, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
	})
	if err == nil {
		return created, nil
	}
	// The consumer may exist with another configuration, or this user may have no right
	// to create it while another has created it.
	existing, findErr := js.Consumer(ctx, stream, name)
	if findErr != nil {
		return nil, fmt.Errorf("there is no consumer %s and none can be made: create one with\n"+
			"  nats consumer add %s %s --pull --filter %s --ack explicit --deliver all --defaults\n%w",
			name, stream, name, topic, explainUnavailable(err))
	}
	return existing, nil
}

// A membership pulls a group's messages, one at a time.
type membership struct {
	d        *Driver
	group    string
	topic    string
	js       jetstream.JetStream
	messages jetstream.MessagesContext
	stream   string
	consumer string

	looked time.Time // when it last looked for losses
	gone   uint64    // up to which sequence number losses were noted
}

// lossInterval is how often at most a member looks for losses.
const lossInterval = 30 * time.Second

// lookForLosses notes what the stream has dropped that the group has never got. It can tell
// only where the stream has no other subjects.
func (m *membership) lookForLosses(ctx context.Context) {
	m.looked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, m.d.replyTimeout)
	defer cancel()
	consumer, err := m.js.Consumer(ctx, m.stream, m.consumer)
	var stream *jetstream.StreamInfo
	if err == nil {
		stream, err = streamInfo(ctx, m.js, m.stream)
	}
	if err != nil {
		m.d.log.Debug("cannot look for losses", "group", m.group, "topic", m.topic, "error", err)
		return
	}
	if s := stream.Config.Subjects; len(s) != 1 || s[0] != m.topic {
		return
	}
	delivered := consumer.CachedInfo().Delivered
	from := max(delivered.Stream, m.gone)
	if first := stream.State.FirstSeq; delivered.Stream > 0 && first > from+1 {
		m.gone = first - 1
		m.d.Note(m.d.log, m.group, m.topic, m.gone-from)
	}
}

func (m *membership) Next(ctx context.Context) (natsconn.Delivery, error) {
	if time.Since(m.looked) >= lossInterval {
		m.lookForLosses(ctx)
	}
	msg, err := m.messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return nil, err
	}
	return groupDelivery{msg}, nil
}

// Close ends the pulling. A message that has come meanwhile is nacked, so that another
// member gets it at once and not after ackWait.
func (m *membership) Close() error {
	defer m.messages.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	m.messages.Drain()
	for {
		msg, err := m.messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil // there is no message left, or the connection has ended
		}
		if err := msg.Nak(); err != nil {
			return fmt.Errorf("jetstream: give a message back: %w", err)
		}
	}
}

// A groupDelivery is a message that the server has delivered to a member.
type groupDelivery struct{ msg jetstream.Msg }

func (d groupDelivery) Entry() domain.Entry {
	return natsconn.Decode(d.msg.Data(), d.msg.Headers())
}

func (d groupDelivery) Ack() error { return d.msg.Ack() }

// Nack leaves it to the server to deliver the message again.
func (d groupDelivery) Nack(context.Context) (again bool, err error) {
	return false, d.msg.NakWithDelay(nackPause)
}

func (d groupDelivery) InProgress() error { return d.msg.InProgress() }

func (d groupDelivery) InProgressInterval() time.Duration { return ackWait / 3 }
