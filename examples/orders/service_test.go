package orders_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/examples/orders"
	"github.com/fanfarebus/fanfare/test/cluster"
)

// inBubble runs a test in a synctest bubble, in which pauses and timeouts take no
// real time.
func inBubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

// start starts the service on a cluster.
func start(t *testing.T, opts ...cluster.Option) (*cluster.Cluster, http.Handler) {
	t.Helper()
	c := cluster.Start(t, 3, opts...)
	service := orders.New(c.Publisher())
	questions, err := c.Subscriber("orders").Subscribe(context.Background(), c.Inbound("chat"))
	if err != nil {
		t.Fatal(err)
	}
	go service.Answer(questions) // the cluster closes the channel when it ends
	return c, service.Handler()
}

func pay(t *testing.T, service http.Handler, order string) (status int) {
	t.Helper()
	w := httptest.NewRecorder()
	service.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/orders/"+order+"/payment?user=alice", nil))
	return w.Code
}

// paid returns the message that alice should receive.
func paid(order string) fanfare.Message {
	return fanfare.Message{ID: "order-" + order + "-paid", Type: "order.paid", Data: map[string]string{"order": order}}
}

// This test needs no bubble, since nothing in it takes time.
func TestEachDeviceIsToldOfThePaymentOnce(t *testing.T) {
	c, service := start(t)
	phone := c.Node(0).Client("alice", "orders")
	laptop := c.Node(1).Client("alice", "orders")
	tab := c.Node(1).Client("alice", "orders")
	bob := c.Client("bob", "orders")
	if got := pay(t, service, "7"); got != http.StatusNoContent {
		t.Errorf("answered %d", got)
	}
	for _, device := range []*cluster.Client{phone, laptop, tab} {
		device.Want(paid("7"))
		device.WantNothing()
	}
	bob.WantNothing()
}

func TestUserOfACrashedNodeMissesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, service := start(t)
		alice := c.Client("alice", "orders")
		pay(t, service, "1")
		alice.Want(paid("1"))

		alice.Node().Crash()
		pay(t, service, "2")
		pay(t, service, "3")
		alice.Want(paid("2"), paid("3"))
		alice.WantNothing()
	})
}

func TestUserIsToldOfAMessageThatTheBusLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, service := start(t, cluster.Lossy())
		alice := c.Client("alice", "orders")
		c.Drop("orders", 1)
		pay(t, service, "1")
		alice.WantGap("lossy") // her device would now fetch her orders again
		alice.WantNothing()
	})
}

func TestPaymentThatIsPublishedTwiceIsDeliveredOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, service := start(t)
		alice := c.Client("alice", "orders")
		c.Duplicate("orders", 1)
		pay(t, service, "1")
		c.LoseAnswers("orders", 2) // the service must publish again
		if got := pay(t, service, "2"); got != http.StatusNoContent {
			t.Errorf("answered %d", got)
		}
		alice.Want(paid("1"), paid("2"))
		alice.WantNothing()
	})
}

func TestPaymentIsNotToldWhileTheBusIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, service := start(t)
		alice := c.Client("alice", "orders")
		c.BusDown()
		if got := pay(t, service, "1"); got != http.StatusServiceUnavailable {
			t.Errorf("answered %d", got)
		}
		alice.WaitForBus(false) // her device could show that
		c.Heal()
		pay(t, service, "1") // the shop tries again
		alice.Want(paid("1"))
		alice.WantNothing()
	})
}

func TestDeafNodeGetsNoUsersUntilItHeals(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, service := start(t)
		alice := c.Node(0).Client("alice", "orders")
		c.Node(0).Deafen()
		pay(t, service, "1")
		alice.WantNothing()
		c.Node(0).WaitFor(cluster.Deaf)
		for range 4 {
			if bob := c.Client("bob", "orders"); bob.Node() == c.Node(0) {
				t.Error("bob was sent to the deaf node")
			}
		}
		c.Node(0).Heal()
		c.Node(0).WaitFor(cluster.Ready)
		alice.Want(paid("1"))
		alice.WantNothing()
	})
}

func TestUserIsAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c, service := start(t)
		pay(t, service, "7")
		alice := c.Client("alice", "chat")
		c.Delay("chat", 1, time.Minute) // takes no real time in the bubble
		alice.Send("chat", client.Sending{Type: "chat.said", Data: map[string]string{"order": "7"}})
		synctest.Wait()
		alice.WantNothing()
		time.Sleep(time.Minute)
		alice.Want(fanfare.Message{Type: "chat.answered", Data: map[string]any{"order": "7", "paid": true}})
	})
}
