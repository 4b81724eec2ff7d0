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

// A rabbit is one node's Publisher and Subscriber on RabbitMQ, and what they can
// do. The broker must be there.
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

// does is what this Pub/Sub claims. A fanout exchange gives each queue the
// messages in the order in which they came in; of what is published while a node
// is cut off, its queue, which is gone with the connection, keeps nothing.
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

// ping opens a channel and closes it. The library's calls have no context: one
// that gets no answer ends with its connection, within silence.
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

// rabbitConfig is a fanout exchange per topic, and for every subscription a
// queue of its own that ends with it: each node gets every message.
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
	cfg.Exchange.Durable = true // publishers do not declare it again when the broker has restarted
	cfg.Queue.Exclusive, cfg.Queue.AutoDelete = true, true
	cfg.Publish.ConfirmDelivery = true // or Publish would succeed though nobody is there
	cfg.Consume.Qos.PrefetchCount = 256
	cfg.Consume.NoRequeueOnNack = true
	cfg.Marshaler = tolerant{amqp.DefaultMarshaler{NotPersistentDeliveryMode: true}}
	return cfg
}

// silence is how long a connection may bring nothing, heartbeats included.
const silence = 3 * time.Second

func dial(network, addr string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, addr, silence)
	if err != nil {
		return nil, err
	}
	return listening{conn}, nil
}

// A listening connection fails when it hears nothing. The library sets deadlines
// of its own, but not after every frame, and it takes them back when it has
// logged in.
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

// A tolerant marshaler reads what foreign publishers send: the stock one wants
// every header to be a string, and asks for a message that has another again
// and again. And it refuses what the stock one would lose.
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
