package client_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
)

// Alice is in a room. Bob sends a message to the room, and Alice answers him.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	node, err := fanfare.New(ctx, fanfare.Config{Dev: true, Drain: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 3)
	go func() { ended <- node.Run(ctx) }()
	server := httptest.NewServer(node)
	defer server.Close()

	user := func(name string, message func(context.Context, *client.Message) error) *client.Client {
		c, err := client.New(client.Config{
			URL:     server.URL + "?user=" + name,
			Systems: []string{"chat"},
			Handler: client.Handler{Message: message},
		})
		if err != nil {
			panic(err)
		}
		go func() { ended <- c.Run(ctx) }()
		return c
	}

	var alice *client.Client
	alice = user("alice", func(ctx context.Context, m *client.Message) error {
		fmt.Printf("alice hears %s from %s\n", m.Data, m.From)
		_, err := alice.Send(ctx, "chat", client.Sending{To: []string{"user:" + m.From}, Data: "hi"})
		return err
	})
	heard := make(chan struct{})
	bob := user("bob", func(_ context.Context, m *client.Message) error {
		fmt.Printf("bob hears %s from %s\n", m.Data, m.From)
		close(heard)
		return nil
	})

	if err := alice.Join(ctx, "chat", "lobby", ""); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := bob.Send(ctx, "chat", client.Sending{To: []string{"room:lobby"}, Data: "hello"}); err != nil {
		fmt.Println(err)
		return
	}
	<-heard
	stop()
	fmt.Println(<-ended, <-ended, <-ended)
	// Output:
	// alice hears "hello" from bob
	// bob hears "hi" from alice
	// <nil> <nil> <nil>
}
