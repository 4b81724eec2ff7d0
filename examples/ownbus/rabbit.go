package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/watermillbus"
)

// A rabbit is one node's Publisher and Subscriber on RabbitMQ. The broker must be
// running when it is made.
type rabbit struct {
	pub *amqp.Publisher
	sub *amqp.Subscriber
}

func newRabbit(uri string, log *slog.Logger) (rabbit, error) {
	cfg, logger := rabbitConfig(uri), watermill.NewSlogLogger(log)
	pub, err := amqp.NewPublisher(cfg, logger)
	if err != nil {
		return rabbit{}, fmt.Errorf("rabbitmq: %w", err)
	}
	sub, err := amqp.NewSubscriber(cfg, logger)
	if err != nil {
		return rabbit{}, errors.Join(fmt.Errorf("rabbitmq: %w", err), pub.Close())
	}
	return rabbit{pub, sub}, nil
}

// does is what this Pub/Sub claims. A fanout exchange gives each queue the messages
// in the order in which they were published. It does not claim AtLeast: a node's
// queue ends with its connection, so it keeps nothing of what is published while
// the node is cut off.
func (r rabbit) does() watermillbus.Config {
	return watermillbus.Config{
		TotalOrder: true,
		CheckTopic: func(topic string) error {
			if len(topic) > 200 {
				return errors.New("a topic's name has at most 200 bytes")
			}
			return nil
		},
		Ping: r.ping,
	}
}

// ping opens a channel and closes it. The library's calls have no context. A call
// that gets no answer ends when its connection does, after [silence].
func (r rabbit) ping(ctx context.Context) error {
	if !r.pub.IsConnected() || !r.sub.IsConnected() {
		return errors.New("rabbitmq: not connected")
	}
	answer := make(chan error, 1)
	go func() {
		ch, err := r.sub.Connection().Channel()
		if err == nil {
			err = ch.Close()
		}
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rabbitConfig makes a fanout exchange for each topic, and for each subscription a
// queue that ends with it. So each node gets every message.
func rabbitConfig(uri string) amqp.Config {
	cfg := amqp.NewNonDurablePubSubConfig(uri, func(topic string) string {
		return topic + "." + watermill.NewShortUUID()
	})
	cfg.Connection.AmqpConfig = &amqp091.Config{
		Heartbeat: time.Second,
		Dial:      dial,
		Locale:    "en_US",
	}
	cfg.Connection.Reconnect = &amqp.ReconnectConfig{
		BackoffInitialInterval: 100 * time.Millisecond, BackoffMultiplier: 1.5, BackoffMaxInterval: 2 * time.Second,
	}
	cfg.Exchange.Durable = true // survives a restart of the broker, after which publishers do not declare it again
	cfg.Queue.Exclusive, cfg.Queue.AutoDelete = true, true
	cfg.Publish.ConfirmDelivery = true // otherwise Publish succeeds before the broker has the message
	cfg.Consume.Qos.PrefetchCount = 256
	cfg.Consume.NoRequeueOnNack = true
	cfg.Marshaler = tolerant{amqp.DefaultMarshaler{NotPersistentDeliveryMode: true}}
	return cfg
}

// silence is how long a connection may receive nothing, not even a heartbeat.
const silence = 3 * time.Second

func dial(network, addr string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, addr, silence)
	if err != nil {
		return nil, err
	}
	return listening{conn}, nil
}

// A listening connection fails when it has received nothing for [silence]. The
// library sets deadlines of its own, but not after every frame, and it removes
// them after the login.
type listening struct{ net.Conn }

func (l listening) Read(b []byte) (int, error) {
	_ = l.SetReadDeadline(time.Now().Add(silence))
	return l.Conn.Read(b)
}

func (l listening) SetDeadline(t time.Time) error {
	if t.IsZero() {
		return errors.Join(l.SetWriteDeadline(t), l.SetReadDeadline(time.Now().Add(silence)))
	}
	return l.Conn.SetDeadline(t)
}

// A tolerant marshaler reads what foreign publishers send. The stock marshaler
// demands that every header is a string, and nacks other messages, which then come
// again and again. A tolerant marshaler also refuses metadata that the stock one
// would lose.
type tolerant struct{ amqp.DefaultMarshaler }

func (t tolerant) Marshal(m *message.Message) (amqp091.Publishing, error) {
	if _, ok := m.Metadata[amqp.DefaultMessageUUIDHeaderKey]; ok {
		return amqp091.Publishing{}, fmt.Errorf("metadata %s: %w", amqp.DefaultMessageUUIDHeaderKey, fanfare.ErrInvalid)
	}
	return t.DefaultMarshaler.Marshal(m)
}

func (t tolerant) Unmarshal(d amqp091.Delivery) (*message.Message, error) {
	for name, value := range d.Headers {
		if _, ok := value.(string); !ok {
			d.Headers[name] = fmt.Sprint(value)
		}
	}
	return t.DefaultMarshaler.Unmarshal(d)
}
