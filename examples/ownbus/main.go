// Ownbus is an example of a Fanfare node on a bus for which Fanfare has no
// driver: RabbitMQ, with the Publisher and Subscriber of watermill-amqp. It is a
// module of its own, as your program is.
//
//	go run . amqp://guest:guest@127.0.0.1:5672/
//
// It prints the address on which it listens. The node is in development mode,
// without any protection, so it listens on this machine only.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/fanfarebus/fanfare"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	uri := "amqp://guest:guest@127.0.0.1:5672/"
	if len(os.Args) > 1 {
		uri = os.Args[1]
	}
	if err := serve(ctx, uri, "127.0.0.1:8080"); err != nil {
		fmt.Fprintln(os.Stderr, "ownbus:", err)
		os.Exit(1)
	}
}

// serve runs a node on RabbitMQ until ctx ends.
func serve(ctx context.Context, uri, listen string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	bus, err := newRabbit(uri, log)
	if err != nil {
		return err
	}
	node, err := newNode(ctx, bus, log)
	if err != nil {
		return errors.Join(err, bus.sub.Close(), bus.pub.Close())
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return errors.Join(err, node.Close())
	}
	server := &http.Server{Handler: node}
	defer server.Close()
	go func() { _ = server.Serve(l) }()
	fmt.Printf("http://%s\n", l.Addr())
	return node.Run(ctx)
}

// newNode makes a node on the bus. The node closes the bus when it is closed.
func newNode(ctx context.Context, bus rabbit, log *slog.Logger) (*fanfare.Node, error) {
	return fanfare.New(ctx, fanfare.Config{Dev: true, Systems: []string{"orders"}},
		fanfare.WithPubSub(bus.pub, bus.sub, bus.claims()), fanfare.WithLogger(log))
}
