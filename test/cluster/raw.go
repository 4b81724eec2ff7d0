package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// reconnectAfter is how long a client without package client waits before it
// reconnects.
const reconnectAfter = 5 * time.Millisecond

// errFinal means that the client must not reconnect.
var errFinal = errors.New("it is not to come back")

// stay runs one session after the other, until ctx ends or a session ends with
// errFinal.
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
		_ = h.Lost(ctx, &client.Lost{Err: err, Delay: reconnectAfter, Failures: failures})
		pause.For(ctx, reconnectAfter)
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

// refused makes an error of a node's HTTP response. It is an errFinal if trying
// again would not help.
func refused(answer *http.Response) error {
	err := &client.Refusal{}
	if json.NewDecoder(io.LimitReader(answer.Body, 4<<10)).Decode(err) != nil {
		err = &client.Refusal{} // a proxy's answer is no problem document
	}
	err.Status = answer.StatusCode
	if answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
		return fmt.Errorf("%w: %w", errFinal, err)
	}
	return err
}
