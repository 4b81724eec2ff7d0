package cluster

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fanfarebus/fanfare/client"
)

// A Disconnection is how the server's side ended a client's session, or refused it one.
type Disconnection struct {
	// Code is the close code: 4009 or the application's own for a user who was
	// disconnected, 4003 for one who is blocked, 4001 for a token that was revoked or has
	// expired. If the client was refused a session, it is the HTTP status.
	Code   int
	Reason string
	// Final says that the client does not come back by itself.
	Final bool
}

// WantDisconnected waits until the client is told to go: that its user was disconnected,
// with or without coming back, or blocked, or that its token is no longer good. Each call
// waits for another such end of a session. Lost connections, and nodes that end, do not
// count.
//
// A client that may come back does so by itself: call [Client.WaitConnected] to wait for
// that. For one that may not, the user's next login is a new [Cluster.Client].
func (c *Client) WantDisconnected() Disconnection {
	c.c.t.Helper()
	var d Disconnection
	err := c.box.until(c.c.cfg.patience, func() bool {
		if len(c.box.told) == 0 {
			return false
		}
		d = c.box.told[0]
		c.box.told = slices.Delete(c.box.told, 0, 1)
		return true
	})
	if err != nil {
		c.fail("waited for it to be disconnected: %v", err)
	}
	return d
}

// noteEnd records that a session ended, or was refused, if the server's side wanted that.
// Final says that the client does not come back.
func (c *Client) noteEnd(err error, final bool) {
	var closed *client.CloseError
	var refused *client.Refusal
	d := Disconnection{Final: final}
	switch {
	case errors.As(err, &closed) && isTold(closed):
		d.Code, d.Reason = closed.Code, closed.Reason
	case final && errors.As(err, &refused):
		d.Code, d.Reason = refused.Status, refused.Detail
	default:
		return
	}
	c.box.change(func() { c.box.told = append(c.box.told, d) })
}

// isTold says whether the server's side ended a session on purpose.
func isTold(e *client.CloseError) bool {
	switch e.Code {
	case client.CodeExpired, client.CodeForbidden, client.CodeDisconnected, client.CodeReplaced:
		return true
	}
	return e.Reconnect || isOwn(e.Code)
}

// isOwn says whether an application has chosen a close code.
func isOwn(code int) bool { return code >= 4100 && code <= 4999 }

// closed returns the error of a session that was closed with a code, for clients without
// package client. It is an errFinal if the client must not come back.
func (c *Client) closed(e *client.CloseError) error {
	stays := e.Reconnect || !isTold(e) || e.Code == client.CodeExpired && c.cfg.Token != nil
	if stays {
		return e
	}
	return fmt.Errorf("%w: %w", errFinal, e)
}
