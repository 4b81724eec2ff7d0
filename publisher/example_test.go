package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/publisher"
)

// A service names the driver of its bus. Here it is the one in memory, where nobody
// listens; with Redis Streams it is redisstream.Openers().
func Example() {
	ctx := context.Background()
	p, err := publisher.New(ctx, "memory://", memory.Openers())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	done, err := p.Publish(ctx, "orders", publisher.Message{
		ID:   "order-7-paid", // of what happened, so that publishing again is safe
		To:   []string{"user:alice"},
		Type: "order.paid",
		Data: map[string]int{"order": 7},
	})
	fmt.Println(done.IDs, done.Cursor != "", err) // the memory bus keeps a log, so there is a cursor
	// Output: [order-7-paid] true <nil>
}

// A URL whose driver was not given is refused, with those that were.
func ExampleNew() {
	_, err := publisher.New(context.Background(), "kafka://localhost:9092", memory.Openers())
	fmt.Println(err)
	// Output:
	// transport: unknown scheme "kafka": use one of memory://; or give publisher.New another driver beside these: kafka.Openers()
}

// Topics, deadlines and limits are settings.
func ExampleNewWithConfig() {
	ctx := context.Background()
	p, err := publisher.NewWithConfig(ctx, "memory://", publisher.Config{
		Topic:          "acme.{system}",
		PublishTimeout: 2 * time.Second,
		MessageBytes:   16,
	}, memory.Openers())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	_, err = p.Publish(ctx, "orders", publisher.Message{To: []string{"*"}, Data: "more than sixteen bytes"})
	fmt.Println(errors.Is(err, publisher.ErrTooLarge))
	// Output: true
}

// A bus in memory has a driver for each of those who use it: here one for the
// publisher and one for a reader.
func ExampleNewOnDriver() {
	ctx := context.Background()
	bus := memory.New(memory.Config{})
	defer bus.Close()
	reader := transport.New(bus.Driver(), transport.Config{})
	defer reader.Close()
	heard, err := reader.Subscribe(ctx, "fanfare.orders")
	if err != nil {
		fmt.Println(err)
		return
	}

	p, err := publisher.NewOnDriver(bus.Driver(), publisher.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	_, err = p.Publish(ctx, "orders", publisher.Message{
		ID: "7", To: []string{"user:alice"}, Data: "paid", Time: time.Unix(0, 0),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	m := <-heard
	fmt.Println(string(m.Payload))
	m.Ack()
	// Output: {"to":"user:alice","id":"7","time":"1970-01-01T00:00:00Z","data":"paid"}
}
