package fanfare_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
)

// Alice is connected to one node; another one logs her out.
func ExampleNode_Disconnect() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	bus := memory.New(memory.Config{})
	defer bus.Close()
	one, ended1 := node(ctx, bus, "one")
	two, ended2 := node(ctx, bus, "two")
	awaitNodes(one, 2)

	server := httptest.NewServer(two)
	defer server.Close()
	alice, _, err := websocket.DefaultDialer.Dial(
		strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=orders&user=alice", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer alice.Close()

	done, err := one.Disconnect(ctx, "alice", fanfare.Disconnecting{Reason: "logged out", Wait: 5 * time.Second})
	fmt.Println(done.Applied, done.Pending, err)
	_, _, err = alice.ReadMessage()
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		fmt.Println(closed.Code, closed.Text)
	}

	stop()
	fmt.Println(<-ended1, <-ended2)
	// Output:
	// [one two] [] <nil>
	// 4009 logged out
	// <nil> <nil>
}

// Whoever is attached to a system is present in it, on all nodes.
func ExampleNode_Presence() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	bus := memory.New(memory.Config{})
	defer bus.Close()
	one, ended1 := node(ctx, bus, "one")
	two, ended2 := node(ctx, bus, "two")
	awaitNodes(one, 2)

	server := httptest.NewServer(two)
	defer server.Close()
	alice, _, err := websocket.DefaultDialer.Dial(
		strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=chat&user=alice", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer alice.Close()

	there := fanfare.Presence{}
	for began := time.Now(); there.Count == 0 && time.Since(began) < 5*time.Second; {
		<-time.After(10 * time.Millisecond) // what happens on another node is known a moment later
		if there, err = one.Presence("chat", "", fanfare.Part{}); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, u := range there.Users {
		fmt.Println(u.User, u.Sessions)
	}

	alice.Close()
	stop()
	fmt.Println(<-ended1, <-ended2)
	// Output:
	// alice 1
	// <nil> <nil>
}

// awaitNodes waits until a node knows so many nodes, at most 10 s.
func awaitNodes(n *fanfare.Node, count int) {
	for began := time.Now(); time.Since(began) < 10*time.Second; <-time.After(10 * time.Millisecond) {
		if all, err := n.Nodes(); err != nil || len(all) == count {
			return
		}
	}
}
