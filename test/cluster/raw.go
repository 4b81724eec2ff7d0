package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/fanfarebus/fanfare/client"
)

// again is how long a client without package client waits before it comes back.
const again = 5 * time.Millisecond

// errFinal says that coming back would be wrong.
var errFinal = errors.New("it is not to come back")

// stay holds sessions, one after the other, until ctx ends or one ended for
// good.
func (c *Client) stay(ctx context.Context, session func(context.Context) error) error {
	h := c.handler()
	for failures := 0; ; failures++ {
		err := session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errFinal):
			return err
		}
		_ = h.Lost(ctx, &client.Lost{Err: err, Delay: again, Failures: failures})
		select {
		case <-time.After(again):
		case <-ctx.Done():
		}
	}
}

// authorize adds the client's token, if it has one.
func (c *Client) authorize(ctx context.Context, h http.Header) error {
	if c.cfg.Token == nil {
		return nil
	}
	token, err := c.cfg.Token(ctx)
	if err != nil {
		return fmt.Errorf("its token: %w", err)
	}
	h.Set("Authorization", "Bearer "+token)
	return nil
}

// refused makes an error of a node's answer.
func refused(answer *http.Response) error {
	problem, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	err := fmt.Errorf("the node answered %s: %s", answer.Status, problem)
	if answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
		return fmt.Errorf("%w: %w", errFinal, err)
	}
	return err
}
