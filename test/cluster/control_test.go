package cluster_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/cluster"
)

var protocols = []cluster.Protocol{cluster.V1, cluster.SSE, cluster.Plain}

func devices(c *cluster.Cluster, user, system string) (all []*cluster.Client) {
	for i, p := range protocols {
		all = append(all, c.Connect(cluster.ClientConfig{User: user, Systems: []string{system}, Protocol: p, Node: c.Node(i % len(c.Nodes()))}))
	}
	return all
}

func TestDisconnectedDevicesGoForGoodOnAllNodes(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 3)
		bob := c.Client("bob", "orders")
		all := devices(c, "alice", "orders")
		c.Disconnect("alice", fanfare.Disconnecting{Reason: "logged out", Code: 4321, Final: true})
		for _, d := range all {
			if got := d.WantDisconnected(); got != (cluster.Disconnection{Code: 4321, Reason: "logged out", Final: true}) {
				t.Errorf("%s was told %+v", d.Name(), got)
			}
		}
		c.WantPresent("orders", "", "bob")
		alice := c.Client("alice", "orders") // the user logs in again
		c.Publish("orders", order(1))
		alice.Want(order(1))
		bob.WantNothing()
	})
}

func TestDisconnectedDevicesComeBack(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		for _, p := range []cluster.Protocol{cluster.V1, cluster.SSE} {
			alice := c.Connect(cluster.ClientConfig{User: "alice", Systems: []string{"orders"}, Protocol: p})
			for range 2 {
				c.Disconnect("alice")
				if got := alice.WantDisconnected(); got.Code != 4009 || got.Final {
					t.Errorf("%s was told %+v", p, got)
				}
				alice.WaitConnected()
			}
			c.Publish("orders", order(1))
			alice.Want(order(1))
			alice.WantNothing()
		}
	})
}

func TestBlockedUserIsRefused(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 3)
		all := devices(c, "alice", "orders")
		away := c.Client("alice", "orders")
		away.Disconnect()
		c.Block("alice", "spam")
		for _, d := range all {
			if got := d.WantDisconnected(); got.Code != 4003 || !strings.Contains(got.Reason, "spam") && !strings.Contains(got.Reason, "blocked") || !got.Final {
				t.Errorf("%s was told %+v", d.Name(), got)
			}
		}
		c.Unblock("alice")
		away.Reconnect()
		c.Block("alice", "spam")
		if got := away.WantDisconnected(); got.Code != 4003 {
			t.Errorf("told %+v", got)
		}
	})
}

func TestRevokedTokensAreReplaced(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		secret := strings.Repeat("s", 32)
		c := cluster.Start(t, 2, cluster.Configure(func(cfg *fanfare.Config) {
			cfg.Dev, cfg.Auth.JWT.Secret = false, fanfare.Secret(secret)
		}))
		issued := time.Now().Add(-time.Minute)
		token := func(context.Context) (string, error) {
			claims := jwt.MapClaims{"sub": "alice", "systems": []string{"orders"}, "exp": time.Now().Add(time.Hour).Unix(), "iat": issued.Unix()}
			issued = time.Now().Add(10 * time.Second)
			return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
		}
		alice := c.Connect(cluster.ClientConfig{User: "alice", Systems: []string{"orders"}, Token: token})
		if _, err := c.Node(0).Embedded().RevokeUser(t.Context(), "alice", time.Now(), fanfare.Lasting{}); err != nil {
			t.Fatal(err)
		}
		if got := alice.WantDisconnected(); got.Code != 4001 || got.Final {
			t.Errorf("told %+v", got)
		}
		alice.WaitConnected()
	})
}

func TestMembersAreInTheRoomOnAllNodes(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 2)
		phone, laptop := c.Node(0).Client("alice", "chat"), c.Node(1).Client("alice", "chat")
		c.AddMember("chat", "staff", "alice")
		c.WantPresent("chat", "staff", "alice")
		staff := fanfare.Message{To: []string{"room:staff"}, Type: "hi"}
		c.Publish("chat", staff)
		for _, d := range []*cluster.Client{phone, laptop} {
			d.Want(staff)
		}
		phone.Cut()
		phone.WaitConnected()
		c.Publish("chat", staff)
		phone.Want(staff)
		laptop.Want(staff)
		c.RemoveMember("chat", "staff", "alice")
		c.WantPresent("chat", "staff")
		c.Publish("chat", staff)
		phone.WantNothing()
		laptop.WantNothing()
	})
}

func TestNodesAgreeOnWhoIsThere(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 3)
		c.WantPresent("chat", "lobby")
		alice := c.Node(0).Client("alice", "chat/lobby")
		bob := c.Node(1).Client("bob", "chat/lobby")
		c.Node(1).Client("bob", "chat")
		c.WantPresent("chat", "lobby", "bob", "alice")
		if got := c.Present("chat", ""); !slices.Equal(got, []string{"alice", "bob"}) {
			t.Errorf("in the system are %v", got)
		}
		bob.Leave("chat", "lobby")
		c.WantPresent("chat", "lobby", "alice")
		c.Node(0).Crash() // alice goes on elsewhere
		c.WantPresent("chat", "lobby", "alice")
		alice.Disconnect()
		c.WantPresent("chat", "lobby")
		c.WantPresent("chat", "", "bob")
	})
}

func TestFailureSaysWhoIsThereInstead(t *testing.T) {
	said := failure(t, func(t cluster.T) {
		c := cluster.Start(t, 2)
		c.Client("alice", "chat/lobby")
		c.WantPresent("chat", "lobby", "bob")
	})
	if !strings.Contains(said, `waited 10s until in chat/lobby ["bob"] are present; all nodes say ["alice"]`) {
		t.Error(said)
	}
	said = failure(t, func(t cluster.T) {
		cluster.Start(t, 1).Client("alice", "chat").WantDisconnected()
	})
	if !strings.Contains(said, "alice: waited for it to be disconnected: nothing came in 10s") {
		t.Error(said)
	}
}

// An event is what a service reads of a CloudEvent.
type event struct {
	Type, Subject string
}

// eventsOf returns the events of a system as they come.
func eventsOf(t *testing.T, c *cluster.Cluster, system string) <-chan event {
	t.Helper()
	messages, err := c.Subscriber("service").Subscribe(t.Context(), c.Events(system))
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan event)
	go func() {
		defer close(events)
		for m := range messages {
			var e event
			if err := json.Unmarshal(m.Payload, &e); err != nil {
				t.Errorf("%q: %v", m.Payload, err)
			}
			m.Ack()
			select {
			case events <- e:
			case <-t.Context().Done():
			}
		}
	}()
	return events
}

func TestServiceIsToldWhoComesAndGoes(t *testing.T) {
	everywhere(t, func(t *testing.T) {
		c := cluster.Start(t, 3, cluster.Events("chat"))
		events := eventsOf(t, c, "chat")
		want := func(kind, subject string) {
			t.Helper()
			select {
			case e := <-events:
				if e != (event{kind, subject}) {
					t.Fatalf("told %+v, want %s %s", e, kind, subject)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("not told %s %s", kind, subject)
			}
		}
		alice := c.Node(1).Client("alice", "chat")
		want("fanfare.user.online", "alice")
		bob := c.Node(2).Client("bob", "chat")
		want("fanfare.user.online", "bob")
		alice.Cut() // and is back within the grace
		alice.WaitConnected()
		bob.Disconnect()
		want("fanfare.user.offline", "bob")
		alice.Disconnect()
		want("fanfare.user.offline", "alice")
	})
}
