package fanfare_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/watermillbus"
)

// Two nodes share a bus. Alice is connected to the second; what the first one
// publishes reaches her there.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	bus := memory.New(memory.Config{})
	defer bus.Close()

	one, ended1 := node(ctx, bus, "one")
	two, ended2 := node(ctx, bus, "two")

	server := httptest.NewServer(two)
	defer server.Close()
	alice, _, err := websocket.DefaultDialer.Dial(
		strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=orders&user=alice", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer alice.Close()

	_, err = one.Publish(ctx, "orders", fanfare.Message{
		To:   []string{"user:alice"},
		Type: "order.paid",
		Data: map[string]int{"order": 1042},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, data, err := alice.ReadMessage()
	fmt.Println(string(data), err)

	alice.Close()
	stop()
	fmt.Println(<-ended1, <-ended2)
	// Output:
	// {"order":1042} <nil>
	// <nil> <nil>
}

// An application's users have a session cookie. It is enough for /ws and /sse, too.
func ExampleWithAuthenticator() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	sessions := map[string]string{"x7Gt9": "alice"} // the application's, by the value of the cookie
	bus := memory.New(memory.Config{})
	defer bus.Close()
	node, err := fanfare.New(ctx, fanfare.Config{}, fanfare.WithDriver(bus.Driver()),
		fanfare.WithAuthenticator(func(r *http.Request) (fanfare.Grant, error) {
			cookie, err := r.Cookie("session")
			if err != nil {
				return fanfare.Grant{}, fanfare.Refuse("no_cookie", "log in first")
			}
			user, known := sessions[cookie.Value]
			if !known {
				return fanfare.Grant{}, fanfare.Refuse("ended", "your session has ended: log in again")
			}
			return fanfare.Grant{User: user, Systems: []string{"orders"}}, nil
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	server := httptest.NewServer(node)
	defer server.Close()

	connect := func(session string) (*websocket.Conn, int) {
		header := http.Header{"Origin": {server.URL}, "Cookie": {"session=" + session}} // as browsers do
		c, answer, _ := websocket.DefaultDialer.Dial(
			strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=orders", header)
		return c, answer.StatusCode
	}
	_, status := connect("made-up")
	fmt.Println(status)
	alice, status := connect("x7Gt9")
	fmt.Println(status)
	defer alice.Close()
	if _, err := node.Publish(ctx, "orders", fanfare.Message{To: []string{"user:alice"}, Data: "paid"}); err != nil {
		fmt.Println(err)
		return
	}
	_, data, err := alice.ReadMessage()
	fmt.Println(string(data), err)

	alice.Close()
	stop()
	fmt.Println(<-ended)
	// Output:
	// 401
	// 101
	// "paid" <nil>
	// <nil>
}

// A team's own Watermill Publisher and Subscriber are the bus: here Watermill's
// Go channels.
func ExampleWithPubSub() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	channels := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, nil)
	node, err := fanfare.New(ctx, fanfare.Config{Dev: true},
		fanfare.WithPubSub(channels, channels, watermillbus.Config{TotalOrder: true}))
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()

	server := httptest.NewServer(node)
	defer server.Close()
	alice, _, err := websocket.DefaultDialer.Dial(
		strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=orders&user=alice", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer alice.Close()
	if _, err := node.Publish(ctx, "orders", fanfare.Message{To: []string{"user:alice"}, Data: "paid"}); err != nil {
		fmt.Println(err)
		return
	}
	_, data, err := alice.ReadMessage()
	fmt.Println(string(data), err)

	alice.Close()
	stop()
	fmt.Println(<-ended)
	// Output:
	// "paid" <nil>
	// <nil>
}

// A system is moved from one bus to another, both in memory, as docs/moving.md
// tells.
func ExampleNewMigration() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	buses := map[string]*memory.Bus{"old": memory.New(memory.Config{}), "new": memory.New(memory.Config{})}
	open := func(_ context.Context, u *url.URL, _ *slog.Logger) (transport.Driver, error) {
		return buses[u.Scheme].Driver(), nil
	}
	moving, err := fanfare.NewMigration(ctx, fanfare.MigrationConfig{From: "old://", To: "new://", Systems: []string{"orders"}},
		fanfare.WithOpeners(transport.Openers{"old": open, "new": open}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer moving.Close()
	bridge := make(chan error, 1)
	go func() { bridge <- moving.Bridge(ctx) }()

	err = moving.Move(ctx, func(system string) { fmt.Println(system, "is on the new bus") })
	stop()
	fmt.Println(err, <-bridge)
	// Output:
	// orders is on the new bus
	// <nil> <nil>
}

// node starts a node in development mode on the bus.
func node(ctx context.Context, bus *memory.Bus, name string) (*fanfare.Node, <-chan error) {
	g, err := fanfare.New(ctx, fanfare.Config{Node: name, Dev: true}, fanfare.WithDriver(bus.Driver()))
	if err != nil {
		panic(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	return g, ended
}
