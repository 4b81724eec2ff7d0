package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/watermillbus"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/conformance"
)

// The broker is slow to start, so all tests share one.
func TestRabbitMQ(t *testing.T) {
	if !broker.HasRabbit() {
		t.Skip("NOT CHECKED: RabbitMQ is not installed: run `make tools`, or `apt-get install rabbitmq-server`")
	}
	server := broker.Rabbit(t)
	t.Run("Conformance", func(t *testing.T) { conform(t, server) })
	t.Run("TwoNodes", func(t *testing.T) { deliver(t, server) })
}

func conform(t *testing.T, server *broker.RabbitServer) {
	proxy := broker.NewProxy(t, server.Addr())
	conformance.Run(t, conformance.Harness{
		Name: "watermill-amqp",
		Open: func(t testing.TB) transport.Driver {
			bus := connect(t, proxy.Addr())
			return watermillbus.New(bus.pub, bus.sub, bus.claims())
		},
		Cut: proxy.Cut, Mend: proxy.Mend,
		Freeze: proxy.Swallow, Thaw: proxy.Pass,
		Poison:     func(t testing.TB, topic string) { publishPoison(t, server, topic) },
		HidesCuts:  true,
		Goroutines: broker.Goroutines,
		Patience:   20 * time.Second,
		Waive: map[string]string{
			"CloseFrozen": "watermill-amqp hangs in Close while the broker answers nobody: " +
				"the driver gives up after its CloseTimeout, and goroutines of the library stay",
		},
	})
}

func uri(addr string) string { return "amqp://guest:guest@" + addr + "/" }

func connect(t testing.TB, addr string) rabbit {
	t.Helper()
	bus, err := newRabbit(uri(addr), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return bus
}

// publishPoison publishes a message that the default marshaler cannot read.
func publishPoison(t testing.TB, server *broker.RabbitServer, topic string) {
	t.Helper()
	conn, err := amqp091.Dial(uri(server.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	odd := amqp091.Publishing{Headers: amqp091.Table{"count": int32(7), "_watermill_message_uuid": int64(1)}, Body: []byte("\xff")}
	if err := ch.PublishWithContext(context.Background(), topic, "", false, false, odd); err != nil {
		t.Fatal(err)
	}
}
