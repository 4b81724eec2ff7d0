package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/client"
)

// plainSession is the session of a WebSocket client that knows nothing of
// Fanfare: each frame is the data of a message.
func (c *Client) plainSession(ctx context.Context) error {
	header := http.Header{}
	if err := c.authorize(ctx, header); err != nil {
		return err
	}
	query := url.Values{"user": {c.cfg.User}, "systems": c.cfg.Systems}
	d := websocket.Dialer{NetDialContext: c.dial, HandshakeTimeout: 10 * time.Second}
	conn, answer, err := d.DialContext(ctx, "ws"+c.c.URL()[len("http"):]+"/ws?"+query.Encode(), header)
	switch {
	case err != nil && answer != nil:
		return refused(answer)
	case err != nil:
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c.setPlain(conn)
	h := c.handler()
	_ = h.Hello(ctx, &client.Hello{Node: c.on().name}) // a plain client receives no hello
	for {
		_, data, err := conn.ReadMessage()
		if end := (*websocket.CloseError)(nil); errors.As(err, &end) {
			return c.closed(&client.CloseError{Code: end.Code, Reason: end.Text})
		}
		if err != nil {
			return err
		}
		_ = h.Message(ctx, &client.Message{System: c.cfg.Systems[0], Data: data}) // never fails
	}
}

func (c *Client) setPlain(conn *websocket.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plain = conn
}

// Say sends text as a plain client does. It goes to the system's service.
func (c *Client) Say(text string) {
	c.c.t.Helper()
	if c.cfg.Protocol != Plain {
		c.c.t.Fatalf("cluster: %s is no plain client: use Send", c.name)
	}
	c.WaitConnected()
	c.mu.Lock()
	conn := c.plain
	c.mu.Unlock()
	c.note("says %q", text)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.fail("could not say %q: %v", text, err)
	}
}
