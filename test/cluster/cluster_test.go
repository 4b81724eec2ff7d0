package cluster_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
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

func TestEachDeviceHearsItOnceWhereverItIs(t *testing.T) {
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

func TestClientOfACrashedNodeGoesOnElsewhere(t *testing.T) {
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

func TestWhatIsMissedWhileAwayComesOnAnyNode(t *testing.T) {
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

func TestWhoComesTooLateIsToldAGap(t *testing.T) {
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

func TestLastMessageThatIsDroppedIsAGapByTheMarkThatFollows(t *testing.T) {
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

func TestDelayedMessageComesLaterAndHoldsUpWhatFollows(t *testing.T) {
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

func TestBusThatWasDownGoesOnWhereItStopped(t *testing.T) {
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

func TestUsersTalkToEachOtherAndToTheService(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		inbound, err := c.Subscriber("service").Subscribe(t.Context(), c.Inbound("chat"))
		if err != nil {
			t.Fatal(err)
		}
		alice := c.Node(0).Client("alice", "chat/lobby")
		bob := c.Node(1).Client("bob", "chat", "orders")
		bob.Join("chat", "lobby")
		id := alice.Send("chat", client.Sending{To: []string{"room:lobby"}, Type: "chat.said", Data: "hi"})
		for _, one := range []*cluster.Client{alice, bob} {
			m := one.In("chat").Next()
			if m.ID != id || m.From != "alice" || string(m.Data) != `"hi"` {
				t.Errorf("%s heard %+v", one.Name(), m)
			}
		}
		bob.Leave("chat", "lobby")
		alice.Send("chat", client.Sending{To: []string{"room:lobby"}, Data: "gone?"})
		alice.WaitFor(2)
		bob.WantNothing()
		alice.Send("chat", client.Sending{Type: "chat.said", Data: "for the service"})
		m := <-inbound
		m.Ack()
	})
}

func TestPlainClientHearsDataAlone(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		alice := c.Connect(cluster.ClientConfig{User: "alice", Systems: []string{"orders"}, Protocol: cluster.Plain})
		c.Publish("orders", order(1))
		alice.Want(fanfare.Message{Data: map[string]int{"order": 1}})
		alice.WantNothing()
		inbound, err := c.Subscriber("").Subscribe(t.Context(), c.Inbound("orders"))
		if err != nil {
			t.Fatal(err)
		}
		alice.Say(`{"text":"hi"}`)
		(<-inbound).Ack()
	})
}

func TestEventSourceResumes(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		alice := c.Connect(cluster.ClientConfig{User: "alice", Systems: []string{"orders", "chat"}, Rooms: []string{"chat/lobby"}, Protocol: cluster.SSE})
		c.Publish("orders", order(1))
		alice.In("orders").Want(order(1))
		alice.Node().Crash()
		lobby := fanfare.Message{To: []string{"room:lobby"}, ContentType: "text/plain", Data: "hi", Headers: map[string]string{"lang": "en"}}
		bytes := fanfare.Message{To: []string{"user:alice"}, Data: []byte{0, 1, 2}}
		c.Publish("orders", order(2), bytes)
		c.Publish("chat", lobby)
		alice.In("orders").Want(order(2), bytes)
		alice.In("chat").Want(lobby)
		alice.WantNothing()
		c.Forget()
		alice.WantGap()
	})
}

func TestServicePublishesOverHTTP(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		alice := c.Node(0).Client("alice", "orders")
		for i, url := range []string{c.URL(), c.Node(0).URL(), c.Node(1).URL()} {
			body := fmt.Sprintf(`{"to":"user:alice","type":"order.paid","data":{"order":%d}}`, i)
			answer, err := c.HTTP().Post(url+"/v1/systems/orders/messages", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusAccepted {
				t.Errorf("answered %s", answer.Status)
			}
			alice.Want(order(i))
		}
		if _, err := c.HTTP().Get("http://127.0.0.1:1/"); err == nil || !strings.Contains(err.Error(), "nobody is there") {
			t.Errorf("somewhere else it got %v", err)
		}
	})
}

func TestNodesMayWantTokens(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		secret := strings.Repeat("s", 32)
		c := cluster.Start(t, 1, cluster.Configure(func(cfg *fanfare.Config) {
			cfg.Dev, cfg.Auth.JWT.Secret = false, fanfare.Secret(secret)
		}))
		token := func(context.Context) (string, error) {
			claims := jwt.MapClaims{"sub": "alice", "systems": []string{"orders"}, "exp": time.Now().Add(time.Hour).Unix()}
			return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
		}
		for _, p := range []cluster.Protocol{cluster.V1, cluster.SSE, cluster.Plain} {
			alice := c.Connect(cluster.ClientConfig{User: "alice", Systems: []string{"orders"}, Token: token, Protocol: p})
			c.Publish("orders", order(1))
			alice.Want(fanfare.Message{Data: map[string]int{"order": 1}})
			alice.WantNothing()
		}
	})
}
