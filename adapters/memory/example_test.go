package memory_test

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// Two nodes of one process share a bus; each can be closed on its own.
func Example() {
	bus := memory.New(memory.Config{})
	one := transport.New(bus.Driver(), transport.Config{})
	other := transport.New(bus.Driver(), transport.Config{})
	defer one.Close()
	defer other.Close()

	messages, err := other.Subscribe(context.Background(), "fanfare.orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := one.Publish("fanfare.orders", message.NewMessage("1", []byte("paid"))); err != nil {
		fmt.Println(err)
		return
	}
	m := <-messages
	fmt.Println(m.UUID, string(m.Payload))
	m.Ack()
	// Output: 1 paid
}

// A bus is opened by its URL. Each Watermill message carries the batch of entries
// that one read returned.
func ExampleOpen() {
	openers := transport.Openers{"memory": memory.Open}
	bus, err := openers.Open(context.Background(), "memory://dev?retention=5m", transport.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer bus.Close()

	batches, err := bus.Batches().Subscribe(context.Background(), "fanfare.orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := bus.Publish("fanfare.orders", message.NewMessage("1", nil), message.NewMessage("2", nil)); err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		m := <-batches
		entries, _ := domain.EntriesFrom(m.Context())
		for _, e := range entries {
			fmt.Printf("start:%t position:%x id:%s\n", e.Kind == domain.Start, e.Position, e.UUID)
		}
		m.Ack()
	}
	// Output:
	// start:true position:0000000000000000 id:
	// start:false position:0000000000000001 id:1
	// start:false position:0000000000000002 id:2
}
