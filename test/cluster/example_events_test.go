package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/cluster"
)

// Desks is a service: users of the system support take desks, and a desk is free again
// when its user is offline. It tells the others so.
type Desks struct {
	publisher *fanfare.Publisher

	mu    sync.Mutex
	taken map[string]int // by user; guarded by mu
}

// Take gives a user a desk.
func (d *Desks) Take(user string, desk int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken[user] = desk
}

// Run reads events until there are no more.
func (d *Desks) Run(ctx context.Context, events <-chan *message.Message) {
	for m := range events {
		if err := d.handle(ctx, m.Payload); err != nil {
			m.Nack() // then it comes again
			continue
		}
		m.Ack()
	}
}

// handle frees the desk of a user who has gone offline. The same event may come again.
func (d *Desks) handle(ctx context.Context, payload []byte) error {
	var event struct {
		Type, Subject string
	}
	if err := json.Unmarshal(payload, &event); err != nil || event.Type != "fanfare.user.offline" {
		return err
	}
	d.mu.Lock()
	desk, has := d.taken[event.Subject]
	delete(d.taken, event.Subject)
	d.mu.Unlock()
	if !has {
		return nil
	}
	freed := fanfare.Message{To: []string{"*"}, Type: "desk.free", Data: map[string]int{"desk": desk}}
	_, err := d.publisher.Publish(ctx, "support", freed)
	return err
}

// A test of a service that reacts to users who go offline. Bob has two devices. His desk
// is free when neither is connected any more.
func ExampleEvents() {
	t := &standIn{} // a test would use its *testing.T
	defer t.end()

	c := cluster.Start(t, 3, cluster.Events("support"))
	desks := &Desks{publisher: c.Publisher(), taken: map[string]int{}}
	events, err := c.Subscriber("desks").Subscribe(context.Background(), c.Events("support"))
	if err != nil {
		t.Fatalf("subscribing: %v", err)
	}
	go desks.Run(context.Background(), events) // ends with the cluster

	alice := c.Node(0).Client("alice", "support")
	phone, laptop := c.Node(1).Client("bob", "support"), c.Node(2).Client("bob", "support")
	c.WantPresent("support", "", "alice", "bob")
	desks.Take("bob", 7)

	phone.Disconnect() // the laptop is still there
	alice.WantNothing()
	laptop.Disconnect()
	m := alice.Next()
	fmt.Println("alice hears", m.Type, string(m.Data))
	fmt.Println("present:", c.Present("support", ""))

	c.Disconnect("alice", fanfare.Disconnecting{Reason: "the shift is over", Final: true})
	told := alice.WantDisconnected()
	fmt.Println("alice is told", told.Code, told.Reason)
	// Output:
	// alice hears desk.free {"desk":7}
	// present: [alice]
	// alice is told 4009 the shift is over
}
