package presence_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/examples/presence"
	"github.com/fanfarebus/fanfare/test/cluster"
)

// onCluster runs a test of the service on three nodes, in a synctest bubble: the time in
// which nobody comes back takes no real time.
func onCluster(t *testing.T, test func(t *testing.T, c *cluster.Cluster, desk *presence.Desk)) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster.Start(t, 3, cluster.Events(presence.System))
		desk := presence.New(c.Publisher())
		events, err := fanfare.NewSubscriber(t.Context(), "", "desk", fanfare.WithDriver(c.Driver()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- desk.Run(ctx, events) }()
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := events.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, c, desk)
	})
}

// free is what agents should receive.
func free(ticket, was string) fanfare.Message {
	return fanfare.Message{Type: "ticket.free", Data: map[string]string{"ticket": ticket, "was": was}}
}

func TestTicketsAreFreeWhenTheLastDeviceIsGone(t *testing.T) {
	onCluster(t, func(t *testing.T, c *cluster.Cluster, desk *presence.Desk) {
		alice := c.Node(0).Client("alice", presence.System)
		phone, laptop := c.Node(1).Client("bob", presence.System), c.Node(2).Client("bob", presence.System)
		c.WantPresent(presence.System, "", "alice", "bob")
		desk.Take("bob", "T-7")
		desk.Take("alice", "T-8")

		phone.Disconnect()
		time.Sleep(10 * time.Second)
		alice.WantNothing() // the laptop is still there
		laptop.Disconnect()
		alice.Want(free("T-7", "bob"))
		alice.WantNothing()
		if mine := desk.Tickets("alice"); len(mine) != 1 {
			t.Errorf("alice has %v", mine)
		}
	})
}

func TestAgentWhoComesBackAtOnceKeepsTheTickets(t *testing.T) {
	onCluster(t, func(t *testing.T, c *cluster.Cluster, desk *presence.Desk) {
		alice, bob := c.Client("alice", presence.System), c.Client("bob", presence.System)
		c.WantPresent(presence.System, "", "alice", "bob")
		desk.Take("bob", "T-7")

		bob.Disconnect()
		bob.Reconnect() // within the grace, to whatever node
		time.Sleep(10 * time.Second)
		alice.WantNothing()
		bob.Node().Crash() // his device goes on elsewhere by itself
		time.Sleep(10 * time.Second)
		alice.WantNothing()
		c.WantPresent(presence.System, "", "alice", "bob")
	})
}

func TestTicketsAreFreeWhenANodeAndItsUserAreGone(t *testing.T) {
	onCluster(t, func(t *testing.T, c *cluster.Cluster, desk *presence.Desk) {
		alice, bob := c.Node(0).Client("alice", presence.System), c.Node(1).Client("bob", presence.System)
		c.WantPresent(presence.System, "", "alice", "bob")
		desk.Take("bob", "T-7")

		bob.Node().Crash() // it tells nobody that bob is gone
		bob.Disconnect()
		alice.Want(free("T-7", "bob"))
		alice.WantNothing()
	})
}

func TestAnAgentIsToldOnceEvenIfTheBusDoesNotAnswer(t *testing.T) {
	onCluster(t, func(t *testing.T, c *cluster.Cluster, desk *presence.Desk) {
		alice, bob := c.Node(0).Client("alice", presence.System), c.Node(1).Client("bob", presence.System)
		c.WantPresent(presence.System, "", "alice", "bob")
		desk.Take("bob", "T-7")
		desk.Take("bob", "T-9")

		c.LoseAnswers(presence.System, 1) // the handler fails, and has the event again
		bob.Disconnect()
		alice.Want(free("T-7", "bob"), free("T-9", "bob"))
		time.Sleep(10 * time.Second)
		alice.WantNothing()
		if his := desk.Tickets("bob"); len(his) != 0 {
			t.Errorf("bob has %v", his)
		}
	})
}
