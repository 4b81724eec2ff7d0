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

// A rabbit is the Publisher and Subscriber of one node on RabbitMQ.
type rabbit struct {
	pub *amqp.Publisher
	sub *amqp.Subscriber
}

// newRabbit connects to a broker, which must be running.
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

// claims returns what this Pub/Sub can do. There is a total order, since a fanout
// exchange gives every queue the messages in the order in which they came in.
// Delivery is at most once: a node's queue is deleted when its connection ends, so
// it misses what is published until the node is back.
func (r rabbit) claims() watermillbus.Config {
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

// ping opens a channel and closes it. The library's calls have no context, but a
// call without an answer ends when the connection does, after readTimeout.
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

// rabbitConfig returns a configuration with a fanout exchange for each topic and a
// queue for each subscription, so that each node receives every message.
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
		BackoffInitialInterval: 100 * time.Millisecond,
		BackoffMultiplier:      1.5,
		BackoffMaxInterval:     2 * time.Second,
	}
	cfg.Exchange.Durable = true // publishers do not declare it again after a restart of the broker
	cfg.Queue.Exclusive, cfg.Queue.AutoDelete = true, true
	cfg.Publish.ConfirmDelivery = true // without it Publish succeeds before the broker has the message
	cfg.Consume.Qos.PrefetchCount = 256
	cfg.Consume.NoRequeueOnNack = true
	cfg.Marshaler = tolerant{amqp.DefaultMarshaler{NotPersistentDeliveryMode: true}}
	return cfg
}

// readTimeout is how long a connection may bring nothing, not even a heartbeat.
const readTimeout = 3 * time.Second

func dial(network, addr string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, addr, readTimeout)
	if err != nil {
		return nil, err
	}
	return timedConn{conn}, nil
}

// A timedConn is a connection that fails when it brings nothing for readTimeout.
// The library sets deadlines of its own, but not after every frame, and it clears
// them after the login.
type timedConn struct{ net.Conn }

func (c timedConn) Read(b []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(readTimeout))
	return c.Conn.Read(b)
}

func (c timedConn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		return errors.Join(c.SetWriteDeadline(t), c.SetReadDeadline(time.Now().Add(readTimeout)))
	}
	return c.Conn.SetDeadline(t)
}

// A tolerant marshaler can read the messages of other programs. The default
// marshaler refuses headers that are not strings, and the broker then delivers the
// message again and again. The tolerant one also refuses to publish metadata that
// the default one would overwrite.
type tolerant struct{ amqp.DefaultMarshaler }

func (t tolerant) Marshal(m *message.Message) (amqp091.Publishing, error) {
	if _, ok := m.Metadata[amqp.DefaultMessageUUIDHeaderKey]; ok {
		return amqp091.Publishing{}, fmt.Errorf("metadata %s: %w",
			amqp.DefaultMessageUUIDHeaderKey, fanfare.ErrInvalid)
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
