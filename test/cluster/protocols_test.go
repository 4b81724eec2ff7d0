package cluster_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/test/cluster"
)

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

func TestPlainClientReceivesOnlyData(t *testing.T) {
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

func TestNodesCanRequireTokens(t *testing.T) {
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
