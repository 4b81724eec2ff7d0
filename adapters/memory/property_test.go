package memory_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"pgregory.net/rapid"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// Any number of publishers publish at the same time, in any portions, through
// several nodes. Each subscriber receives each message once, and all see the same
// order, which agrees with that of each publisher.
func TestOrderAndOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bus := memory.New(memory.Config{})
		nodes := make([]*transport.Transport, rapid.IntRange(1, 3).Draw(t, "nodes"))
		for i := range nodes {
			nodes[i] = transport.New(bus.Driver(), transport.Config{PublishTimeout: 30 * time.Second})
			defer nodes[i].Close()
		}
		// What each publisher sends at once, one after the other.
		plans := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 600), 1, 8), 1, 6).Draw(t, "portions")
		total := 0
		for _, portions := range plans {
			for _, n := range portions {
				total += n
			}
		}
		nacks := rapid.SliceOfN(rapid.IntRange(0, 600), 0, 3).Draw(t, "nacks")

		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var all sync.WaitGroup
		orders := make([][]string, 2*len(nodes))
		for i, node := range nodes {
			for j, sub := range []message.Subscriber{node, node.Batches()} {
				in, err := sub.Subscribe(ctx, topic)
				if err != nil {
					t.Fatal(err)
				}
				all.Go(func() { orders[2*i+j] = collect(in, total, nacks) })
			}
		}
		for p, portions := range plans {
			all.Go(func() {
				if err := send(nodes[p%len(nodes)], p, portions); err != nil {
					t.Error(err)
					cancel() // nobody waits for what was not sent
				}
			})
		}
		all.Wait()

		next := make([]int, len(plans))
		for i, id := range orders[0] {
			var p, n int
			if _, err := fmt.Sscanf(id, "%d-%d", &p, &n); err != nil {
				t.Fatal(err)
			}
			if n != next[p] {
				t.Fatalf("message %d is %s, publisher %d is at %d", i, id, p, next[p])
			}
			next[p]++
		}
		for s, order := range orders {
			if len(order) != total {
				t.Fatalf("subscriber %d has %d of %d messages", s, len(order), total)
			}
			for i, id := range order {
				if id != orders[0][i] {
					t.Fatalf("subscriber %d has %s where subscriber 0 has %s", s, id, orders[0][i])
				}
			}
		}
	})
}

// collect acks until there are total messages, and nacks some on the way.
func collect(in <-chan *message.Message, total int, nacks []int) []string {
	var ids []string
	for len(ids) < total {
		m, ok := <-in
		if !ok {
			return ids
		}
		if len(nacks) > 0 && len(ids) >= nacks[0] {
			nacks = nacks[1:]
			m.Nack()
			continue
		}
		batch, ok := domain.EntriesFrom(m.Context())
		if !ok {
			ids = append(ids, m.UUID)
		}
		for _, e := range batch {
			if e.Kind == domain.Record {
				ids = append(ids, e.UUID)
			}
		}
		m.Ack()
	}
	return ids
}

func send(bus *transport.Transport, publisher int, portions []int) error {
	next := 0
	for _, n := range portions {
		messages := make([]*message.Message, n)
		for i := range messages {
			messages[i] = message.NewMessage(fmt.Sprintf("%d-%d", publisher, next), nil)
			next++
		}
		if err := bus.Publish(topic, messages...); err != nil {
			return err
		}
	}
	return nil
}
