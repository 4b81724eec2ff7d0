package cluster_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/test/cluster"
)

func TestClientThatComesTooLateIsToldAGap(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 1, cluster.Keep(5))
		alice, other := c.Client("alice", "orders"), c.Client("alice", "orders")
		alice.Disconnect()
		for n := range 20 {
			c.Publish("orders", order(n))
			other.Want(order(n))
		}
		alice.Reconnect()
		alice.WantGap("trimmed")
		alice.Want(order(15), order(16), order(17), order(18), order(19))
		alice.WantNothing()
	})
}

func TestDroppedMessageIsAGap(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 2, cluster.Lossy())
		alice, elsewhere := c.Node(0).Client("alice", "orders"), c.Node(1).Client("alice", "orders")
		c.Drop("orders", 1, c.Node(0))
		c.Publish("orders", order(1))
		elsewhere.Want(order(1))
		c.Publish("orders", order(2))
		alice.WantGap("lossy")
		alice.Want(order(2))
		alice.WantNothing()
		elsewhere.Want(order(2))
		elsewhere.WantNothing()
	})
}

func TestDroppedLastMessageIsAGapOnceThePublishersMarkComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster.Start(t, 2, cluster.Lossy())
		alice := c.Client("alice", "orders")
		service := c.Publisher()
		c.Drop("orders", 1)
		if _, err := service.Publish(t.Context(), "orders", order(1)); err != nil {
			t.Fatal(err)
		}
		alice.WantGap("lossy")
		alice.WantNothing()
	})
}

func TestDuplicateIsDeliveredOnce(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		alice := c.Client("alice", "orders")
		c.Duplicate("orders", 1)
		alice.WantNothing() // what the kit itself sends is not counted
		bus, err := c.Subscriber("").Subscribe(t.Context(), "fanfare.orders")
		if err != nil {
			t.Fatal(err)
		}
		c.Publish("orders", order(1), order(2))
		alice.Want(order(1), order(2))
		alice.WantNothing()
		for _, n := range []string{"1", "1", "2"} {
			m := <-bus
			if !strings.Contains(string(m.Payload), `"order":`+n) {
				t.Errorf("the bus carried %s, want order %s", m.Payload, n)
			}
			m.Ack()
		}
	})
}

func TestRepetitionAfterALostAnswerIsDeliveredOnce(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		alice := c.Client("alice", "orders")
		c.LoseAnswers("orders", 1)
		m := order(1)
		m.ID = "order-1"
		p := c.Publisher()
		if _, err := p.Publish(t.Context(), "orders", m); err == nil {
			t.Error("the answer came")
		}
		if _, err := p.Publish(t.Context(), "orders", m); err != nil {
			t.Error(err)
		}
		alice.Want(m)
		alice.WantNothing()
	})
}

func TestDelayedMessageDelaysThoseAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		late, prompt := c.Node(0).Client("alice", "orders"), c.Node(1).Client("alice", "orders")
		start := time.Now()
		c.Delay("orders", 1, 3*time.Second, c.Node(0))
		c.Publish("orders", order(1), order(2))
		prompt.Want(order(1), order(2))
		if took := time.Since(start); took != 0 {
			t.Errorf("the node without a delay took %v", took)
		}
		late.Want(order(1), order(2))
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it came after %v", took)
		}
	})
}

func TestHalfPartitionedNodeIsDeafAndHeals(t *testing.T) {
	for _, opts := range [][]cluster.Option{nil, {cluster.Lossy()}} {
		synctest.Test(t, func(t *testing.T) {
			c := cluster.Start(t, 2, opts...)
			alice, elsewhere := c.Node(0).Client("alice", "orders"), c.Node(1).Client("alice", "orders")
			start := time.Now()
			c.Node(0).Deafen()
			c.Publish("orders", order(1))
			elsewhere.Want(order(1))
			alice.WantNothing()
			c.Node(0).WaitFor(cluster.Deaf)
			if took := time.Since(start); took > 8*time.Second {
				t.Errorf("that took it %v", took)
			}
			if n := c.Client("bob", "orders").Node(); n != c.Node(1) {
				t.Errorf("the load balancer sends clients to %s", n.Name())
			}
			c.Node(0).Heal()
			c.Node(0).WaitFor(cluster.Ready)
			if len(opts) > 0 {
				alice.WantGap("lossy")
			} else {
				alice.Want(order(1))
			}
			alice.WantNothing()
		})
	}
}

func TestPartitionedNodeKeepsItsClientsAndCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		alice := c.Node(0).Client("alice", "orders")
		c.Node(0).Partition()
		alice.WaitForBus(false)
		if got := c.Node(0).Status(); got != cluster.Ready {
			t.Errorf("it is %s", got)
		}
		if _, err := c.Node(0).Embedded().Publish(t.Context(), "orders", order(0)); err == nil {
			t.Error("it published")
		}
		c.Publish("orders", order(1))
		alice.WantNothing()
		c.Node(0).Heal()
		alice.WaitForBus(true)
		alice.Want(order(1))
		alice.WantNothing()
	})
}

func TestNodesContinueAfterTheBusWasDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		alice := c.Client("alice", "orders")
		p := c.Publisher()
		c.BusDown()
		if _, err := p.Publish(t.Context(), "orders", order(1)); err == nil {
			t.Error("published on a bus that is down")
		}
		alice.WaitForBus(false)
		alice.WantNothing()
		c.Heal()
		c.Publish("orders", order(2))
		alice.Want(order(2))
		c.Interrupt()
		c.Publish("orders", order(3))
		alice.Want(order(3))
		alice.WantNothing()
		c.Forget()
		alice.WantGap()
		c.Publish("orders", order(4))
		alice.Want(order(4))
	})
}
