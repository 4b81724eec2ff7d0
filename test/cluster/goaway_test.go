package cluster_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/cluster"
)

// Sessions are moved off a node that has all of them, until it has no more than the others.
// The clients miss nothing, and nothing comes twice, although messages are published all
// the time.
func TestRebalancingMovesSessionsWithoutAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster.Start(t, 3)
		full, others := c.Node(0), []*cluster.Node{c.Node(1), c.Node(2)}
		for _, n := range others {
			n.Drain()
		}
		var clients []*cluster.Client
		for i := range 12 {
			clients = append(clients, c.Client(fmt.Sprintf("user%d", i), "orders"))
		}
		for _, n := range others {
			n.Start()
		}
		count := func(n *cluster.Node) int {
			nodes, err := n.Embedded().Nodes()
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range nodes {
				if info.Self {
					return info.Sessions
				}
			}
			return -1
		}
		until := func(what string, done func() bool) {
			t.Helper()
			for end := time.Now().Add(2 * time.Minute); !done(); <-time.After(100 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("not within two minutes: %s", what)
				}
			}
		}
		until("all nodes know each other", func() bool {
			nodes, err := others[1].Embedded().Nodes()
			return err == nil && len(nodes) == 3 && count(full) == 12
		})
		o, err := others[0].Embedded().Rebalance(t.Context(), full.Name(), fanfare.Rebalancing{Rate: 4, Wait: 10 * time.Second})
		if err != nil || len(o.Applied) != 3 {
			t.Fatalf("%+v %v", o, err)
		}
		for i := range 40 { // it takes some 3 s
			c.Publish("orders", fanfare.Message{To: []string{"*"}, Type: "tick", Data: i})
			<-time.After(100 * time.Millisecond)
		}
		for _, one := range clients {
			for i := range 40 {
				one.Want(fanfare.Message{To: []string{"*"}, Type: "tick", Data: i})
			}
			one.WantNothing()
		}
		until("the sessions are spread", func() bool { return count(full) <= 4 && count(others[0])+count(others[1]) >= 8 })

		// What was begun can be ended.
		if _, err := full.Embedded().Rebalance(t.Context(), others[0].Name(), fanfare.Rebalancing{Rate: 1, Sessions: 1000, Wait: time.Second}); err != nil {
			t.Fatal(err)
		}
		if _, err := full.Embedded().StopRebalance(t.Context(), others[0].Name(), time.Second); err != nil {
			t.Fatal(err)
		}
		if _, err := full.Embedded().Rebalance(t.Context(), "nobody", fanfare.Rebalancing{}); err == nil {
			t.Error("a node that is not there was rebalanced")
		}
		before := count(others[0])
		<-time.After(10 * time.Second)
		if after := count(others[0]); after < before-2 {
			t.Errorf("it went on: there were %d sessions, and are %d", before, after)
		}
	})
}
