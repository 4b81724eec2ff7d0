package cluster

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"

	client "github.com/fanfarebus/fanfare/clients/go"
)

// again is how long a plain client waits before it comes back.
const again = 5 * time.Millisecond

// runPlain connects again and again, as any WebSocket client may.
func (c *Client) runPlain(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.plainSession(ctx); ctx.Err() == nil {
			c.note("has no connection: %v", err)
		}
		c.box.change(func() { c.box.state.connected = false })
		select {
		case <-time.After(again):
		case <-ctx.Done():
		}
	}
}

func (c *Client) plainSession(ctx context.Context) error {
	header := http.Header{}
	if c.cfg.Token != nil {
		token, err := c.cfg.Token(ctx)
		if err != nil {
			return err
		}
		header.Set("Authorization", "Bearer "+token)
	}
	query := url.Values{"user": {c.cfg.User}, "systems": c.systems}
	d := websocket.Dialer{NetDialContext: c.dial, HandshakeTimeout: 10 * time.Second}
	conn, _, err := d.DialContext(ctx, "ws"+c.c.URL()[len("http"):]+"/ws?"+query.Encode(), header)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c.welcome(conn)
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if n, ok := fenceOf("", data); ok {
			c.box.change(func() { c.box.fences[c.systems[0]] = max(n, c.box.fences[c.systems[0]]) })
			continue
		}
		c.hear(event{system: c.systems[0], message: &client.Message{System: c.systems[0], Data: data}})
	}
}

func (c *Client) welcome(conn *websocket.Conn) {
	c.note("is connected")
	c.mu.Lock()
	c.plain = conn
	c.mu.Unlock()
	c.box.change(func() {
		c.box.state.connected, c.box.state.busUp = true, true
		c.box.state.hellos++
	})
}

// Say sends text as a plain client does: to the system's service.
func (c *Client) Say(text string) {
	c.c.t.Helper()
	c.WaitConnected()
	c.mu.Lock()
	conn := c.plain
	c.mu.Unlock()
	if conn == nil {
		c.c.t.Fatalf("cluster: %s is no plain client: use Send", c.name)
	}
	c.note("says %q", text)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.fail("could not say %q: %v", text, err)
	}
}
