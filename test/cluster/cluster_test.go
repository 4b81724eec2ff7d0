package cluster_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everywhere runs a test on the machine's time and in a bubble.
func everywhere(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Run("in real time", test)
	t.Run("in a bubble", func(t *testing.T) { synctest.Test(t, test) })
}

func order(n int) fanfare.Message {
	return fanfare.Message{To: []string{"user:alice"}, Type: "order.paid", Data: map[string]int{"order": n}}
}

func TestEachDeviceReceivesAMessageOnceOnAnyNode(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 3)
		var devices []*cluster.Client
		for _, n := range c.Nodes() {
			devices = append(devices, n.Client("alice", "orders"))
		}
		bob := c.Client("bob", "orders")
		c.Publish("orders", order(1), order(2))
		for i, d := range devices {
			d.Want(order(1), order(2))
			d.WantNothing()
			if d.Node() != c.Node(i) {
				t.Errorf("device %d is on %s", i, d.Node().Name())
			}
		}
		bob.WantNothing()
	})
}

func TestLoadBalancerTakesTurnsAmongReadyNodes(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 3)
		c.Node(1).Crash()
		got := map[string]int{}
		for range 4 {
			got[c.Client("alice", "orders").Node().Name()]++
		}
		if got["n0"] != 2 || got["n2"] != 2 {
			t.Errorf("the sessions are on %v", got)
		}
	})
}

func TestClientOfACrashedNodeResumesOnAnotherNode(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 3)
		alice := c.Client("alice", "orders")
		c.Publish("orders", order(1))
		alice.Want(order(1))
		old := alice.Node()
		old.Crash()
		c.Publish("orders", order(2))
		alice.Want(order(2))
		alice.WantNothing()
		if alice.Node() == old {
			t.Errorf("it is still on %s", old.Name())
		}
		old.Start()
		alice.Reconnect(old)
		c.Publish("orders", order(3))
		alice.Want(order(3))
		alice.WantNothing()
	})
}

func TestMessagesMissedWhileAwayComeOnAnyNode(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		alice := c.Node(0).Client("alice", "orders")
		alice.Disconnect()
		c.Publish("orders", order(1))
		alice.WantNothing()
		alice.Reconnect(c.Node(1))
		alice.Want(order(1))
		alice.Cut()
		c.Publish("orders", order(2))
		alice.Want(order(2))
		alice.WantNothing()
	})
}

func TestCrashTellsNobodyAndDrainTellsAll(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		for told, end := range map[bool]func(*cluster.Node){false: (*cluster.Node).Crash, true: (*cluster.Node).Drain} {
			c := cluster.Start(t, 1)
			d := websocket.Dialer{NetDialContext: c.Dial} // a client of one's own
			conn, _, err := d.DialContext(t.Context(), "ws"+strings.TrimPrefix(c.URL(), "http")+"/ws?user=alice&systems=orders", nil)
			if err != nil {
				t.Fatal(err)
			}
			closed := make(chan error, 1)
			go func() {
				_, _, err := conn.ReadMessage()
				conn.Close()
				closed <- err
			}()
			end(c.Node(0))
			if err := <-closed; websocket.IsCloseError(err, websocket.CloseGoingAway) != told {
				t.Errorf("told: %v; it ended with %v", told, err)
			}
		}
	})
}

func TestDrainedNodeSendsItsClientsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		alice := c.Client("alice", "orders")
		old := alice.Node()
		old.Drain()
		if got := old.Status(); got != cluster.Stopped {
			t.Errorf("it is %s", got)
		}
		c.Publish("orders", order(1))
		alice.Want(order(1))
		alice.WantNothing()
	})
}
