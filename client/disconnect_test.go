package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/client"
)

// That the connection breaks before the close frame changes nothing: the op has said all.
func TestDisconnectedForGoodEndsRunWithTheReason(t *testing.T) {
	for said, want := range map[string]client.CloseError{
		`{"op":"disconnect","code":4009,"reason":"logged out","reconnect":false}`: {Code: 4009, Reason: "logged out"},
		`{"op":"disconnect","code":4100,"reason":"sold"}`:                         {Code: 4100, Reason: "sold"},
		`{"op":"disconnect","code":4001,"reconnect":false}`:                       {Code: 4001},
		`{"op":"disconnect","code":4003,"reason":"blocked","reconnect":false}`:    {Code: 4003, Reason: "blocked"},
		`{"op":"disconnect"}`:                  {Code: 4009},
		`{"op":"disconnect","code":"nothing"}`: {Code: 4009},
		`{"op":"disconnect","code":1e99}`:      {Code: 4009},
	} {
		n := newNode(t)
		u := n.connect(func(c *client.Config) {
			c.Token = func(context.Context) (string, error) { return "t", nil }
		})
		v := n.hello()
		v.says(message("orders", "1", "o1"), said)
		u.hears(`message 1 {"n":1}`) // the handler is still called for what came before
		var c *client.CloseError
		if err := u.end(); !errors.As(err, &c) || c.Code != want.Code || c.Reason != want.Reason || c.Reconnect {
			t.Errorf("%s: Run returned %v; want %v", said, err, &want)
		}
		v.closes(0)
	}
}

func TestDisconnectedUserComesBackWithAnotherToken(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node, dialer *websocket.Dialer) {
		lost := make(chan *client.Lost, 1)
		tokens := 0
		u := n.connect(func(c *client.Config) {
			c.Dialer, c.FirstPause, c.MaxPause = dialer, time.Second, 30*time.Second
			c.Token = func(context.Context) (string, error) { tokens++; return fmt.Sprint("t", tokens), nil }
			c.Handler.Lost = func(_ context.Context, l *client.Lost) error { lost <- l; return nil }
		})
		v := n.hello()
		time.Sleep(10 * time.Second)
		v.says(`{"op":"disconnect","code":4321,"reason":"new rights","reconnect":true}`)
		l := <-lost
		var c *client.CloseError
		if !errors.As(l.Err, &c) || c.Code != 4321 || c.Reason != "new rights" || !c.Reconnect {
			t.Errorf("told %v", l.Err)
		}
		if l.Delay <= 0 || l.Delay > time.Second || l.Failures != 0 {
			t.Errorf("told %+v", l)
		}
		if got := n.hello().Header.Get("Authorization"); got != "Bearer t2" {
			t.Errorf("came back with %q", got)
		}
		u.leaves()
	})
}

func TestFreshTokenMayBeRefusedAFewTimes(t *testing.T) {
	for refusals, comesBack := range map[int]bool{3: true, 4: false} {
		n := newNode(t)
		u := n.connect(func(c *client.Config) {
			c.Token = func(context.Context) (string, error) { return "t", nil }
		})
		n.hello().closes(4001)
		for range refusals {
			n.visit().refuse(401, "")
		}
		if comesBack {
			n.hello()
			u.leaves()
			continue
		}
		var r *client.Refusal
		if err := u.end(); !errors.As(err, &r) || r.Status != 401 {
			t.Errorf("Run returned %v", err)
		}
	}
}

func TestBlockedUserStaysAway(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) {
		c.Token = func(context.Context) (string, error) { return "t", nil }
	})
	n.hello().closes(4001)
	n.visit().refuse(403, "")
	var r *client.Refusal
	if err := u.end(); !errors.As(err, &r) || r.Status != 403 {
		t.Errorf("Run returned %v", err)
	}
}

func TestRoomsOfTheServerAreNotAskedFor(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	v.says(`{"op":"joined","system":"chat","room":"staff","by":"server"}`)
	u.hears("joined chat/staff by server")
	done := u.leave("staff")
	v.wants(`{"op":"leave","ref":1,"room":"staff","system":"chat"}`)
	v.says(`{"op":"error","ref":1,"code":"forbidden","message":"the server has put you there"}`)
	var refused *client.OpError
	if got := receive(t, done, "the answer"); !errors.As(got.err, &refused) || refused.Code != "forbidden" {
		t.Errorf("Leave returned %v", got.err)
	}
	v.closes(0)
	v = n.hello()
	if q := v.URL.Query(); q.Has("rooms") || q.Has("room") {
		t.Errorf("it asked for %v", q)
	}
	v.says(`{"op":"joined","system":"chat","room":"staff","by":"server"}`, `{"op":"left","system":"chat","room":"staff","reason":"server"}`)
	u.hears("joined chat/staff by server", "left chat/staff server")
	u.leaves()
}
