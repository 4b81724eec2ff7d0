package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
)

// An api calls JetStream over a connection. A request that the user has no right to
// send is never answered; api turns it into an error at once.
type api struct {
	conn     *natsconn.Conn
	jsDomain string // the JetStream domain; "" for the server's own
}

// prefix begins the subjects of requests to JetStream.
func (a api) prefix() string {
	if a.jsDomain == "" {
		return "$JS.API"
	}
	return "$JS." + a.jsDomain + ".API"
}

// call calls f, which makes requests to JetStream. The context that f gets ends when the
// server refuses a request or the connection ends. Each request is bounded by nats.go's
// default timeout for JetStream's API if ctx has no deadline.
func (a api) call(ctx context.Context, f func(context.Context, jetstream.JetStream) error) error {
	js, err := jetstream.New(a.conn.Conn)
	if a.jsDomain != "" {
		js, err = jetstream.NewWithDomain(a.conn.Conn, a.jsDomain)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	refusals := a.conn.WatchRefusals()
	defer refusals.Stop()
	done := make(chan struct{})
	defer func() { cancel(nil); <-done }()
	go func() {
		defer close(done)
		a.cancelWhenRefused(ctx, cancel, refusals)
	}()
	return a.explain(ctx, f(ctx, js))
}

// cancelWhenRefused calls cancel when the server refuses a request to JetStream or the
// connection ends, and returns then or when ctx ends.
func (a api) cancelWhenRefused(
	ctx context.Context, cancel context.CancelCauseFunc, refusals *natsconn.Refusals,
) {
	for {
		select {
		case <-refusals.Changed():
			if err := refusals.OfPublishUnder(a.prefix()); err != nil {
				cancel(err)
				return
			}
		case <-a.conn.Ended():
			cancel(a.conn.EndCause())
			return
		case <-ctx.Done():
			return
		}
	}
}

// explain adds to the error of a request what is known about its cause.
func (a api) explain(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		return nil
	case err == ctx.Err() && cause != err:
		return cause
	case ctx.Err() != nil && cause != ctx.Err():
		return fmt.Errorf("%w: %v", cause, err) // err says only that the context has ended
	case errors.Is(err, nats.ErrConnectionClosed):
		return a.conn.EndCause()
	case errors.Is(err, nats.ErrNoResponders) && a.jsDomain != "":
		return fmt.Errorf("JetStream's domain is %s in the URL: %w", a.jsDomain, err)
	}
	return err
}
