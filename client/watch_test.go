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

func (u *user) watch(ctx context.Context, room string, users bool) <-chan result {
	return later(func() (string, error) { return "", u.Watch(ctx, "chat", room, users) })
}

func (u *user) unwatch(room string) <-chan result {
	return later(func() (string, error) { return "", u.Unwatch(context.Background(), "chat", room) })
}

// watched is the op that watches a place; room is what stands for it, with a comma.
func watched(ref int, room, how string) string {
	return fmt.Sprintf(`{"op":"presence","ref":%d,"system":"chat",%s"watch":%s}`, ref, room, how)
}

const lobby = `"room":"lobby",`

func (u *user) succeeds(done <-chan result) {
	u.t.Helper()
	if got := receive(u.t, done, "the answer"); got.err != nil {
		u.t.Errorf("the call returned %v", got.err)
	}
}

func (v *visit) answers(ref int, more ...string) {
	v.t.Helper()
	v.says(append([]string{fmt.Sprintf(`{"op":"ok","ref":%d}`, ref)}, more...)...)
}

func (v *visit) refuses(ref int, code string) {
	v.t.Helper()
	v.says(fmt.Sprintf(`{"op":"error","ref":%d,"code":%q,"message":"no"}`, ref, code))
}

func TestPlaceIsWatchedAnewOnEachConnection(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	done := u.watch(t.Context(), "lobby", true)
	v.wants(watched(1, lobby, `"users"`))
	v.answers(1, `{"op":"presence","system":"chat","room":"lobby","count":2,"users":["alice","bob"]}`,
		`{"op":"presence","system":"chat","room":"lobby","count":2,"joined":["eve"],"left":["bob"]}`)
	u.succeeds(done)
	u.hears(`presence chat/lobby 2 ["alice" "bob"] +[] -[] `, `presence chat/lobby 2 [] +["eve"] -["bob"] `)
	done = u.watch(t.Context(), "", false)
	v.wants(watched(2, "", `"count"`))
	v.answers(2, `{"op":"presence","system":"chat","count":7}`)
	u.succeeds(done)
	u.hears(`presence chat/ 7 [] +[] -[] `)
	v.closes(0)

	v = n.hello()
	v.wants(watched(3, "", `"count"`))
	v.wants(watched(4, lobby, `"users"`))
	v.answers(3)
	v.answers(4, `{"op":"presence","system":"chat","room":"lobby","count":0,"users":[]}`)
	u.hears(`presence chat/lobby 0 [] +[] -[] `)
	done = u.unwatch("")
	v.wants(watched(5, "", "false"))
	v.answers(5)
	u.succeeds(done)
	v.closes(1001)

	v = n.hello()
	v.wants(watched(6, lobby, `"users"`))
	u.leaves()
	u.run() // the next Run watches it, too
	n.hello().wants(watched(7, lobby, `"users"`))
	u.leaves()
}

func TestWatchSaysWhatTheNodeRefuses(t *testing.T) {
	for _, code := range []string{"forbidden", "unsupported", "rate_limited", "invalid"} {
		n := newNode(t)
		u := n.connect()
		v := n.hello()
		done := u.watch(t.Context(), "lobby", true)
		v.wants(watched(1, lobby, `"users"`))
		v.refuses(1, code)
		var refused *client.OpError
		if got := receive(t, done, "the answer"); !errors.As(got.err, &refused) || refused.Code != code {
			t.Errorf("Watch returned %v", got.err)
		}
		v.closes(0)
		v = n.hello()
		sent := u.send(t.Context(), client.Sending{ID: "1"})
		v.wants(`{"op":"send","ref":2,"system":"chat","id":"1","data":null}`) // and does not watch
		v.answers(2)
		u.succeeds(sent)
		u.leaves()
	}
}

func TestWatchThatIsRefusedLaterIsTold(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	done := u.watch(t.Context(), "lobby", true)
	v.wants(watched(1, lobby, `"users"`))
	v.answers(1)
	u.succeeds(done)
	v.closes(0)
	v = n.hello()
	v.wants(watched(2, lobby, `"users"`))
	v.refuses(2, "forbidden")
	u.hears(`presence chat/lobby 0 [] +[] -[] forbidden`)
	v.closes(0)
	v = n.hello()
	sent := u.send(t.Context(), client.Sending{ID: "1"})
	v.wants(`{"op":"send","ref":3,"system":"chat","id":"1","data":null}`)
	v.answers(3)
	u.succeeds(sent)
	u.leaves()
}

func TestWatchThatANewTokenDoesNotAllowEnds(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	done := u.watch(t.Context(), "lobby", true)
	v.wants(watched(1, lobby, `"users"`))
	v.answers(1, `{"op":"presence","system":"chat","room":"lobby","watch":false,"reason":"token"}`)
	u.succeeds(done)
	u.hears(`presence chat/lobby 0 [] +[] -[] token`)
	v.closes(0)
	v = n.hello()
	sent := u.send(t.Context(), client.Sending{ID: "1"})
	v.wants(`{"op":"send","ref":2,"system":"chat","id":"1","data":null}`)
	v.answers(2)
	u.succeeds(sent)
	u.leaves()
}

func TestWatchThatANodeIsTooBusyForIsTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node, dialer *websocket.Dialer) {
		u := n.connect(func(c *client.Config) { c.Dialer = dialer })
		v := n.hello()
		_ = v.conn.SetReadDeadline(time.Time{})
		done := u.watch(t.Context(), "lobby", false)
		v.wants(watched(1, lobby, `"count"`))
		v.answers(1)
		u.succeeds(done)
		v.closes(0)
		v = n.hello()
		_ = v.conn.SetReadDeadline(time.Time{})
		start := time.Now()
		for range 3 {
			v.wants(watched(2, lobby, `"count"`))
			v.refuses(2, "rate_limited")
		}
		v.wants(watched(2, lobby, `"count"`))
		if got := time.Since(start); got < 750*time.Millisecond || got > 2250*time.Millisecond {
			t.Errorf("tried again three times in %v", got)
		}
		v.answers(2)
		u.leaves()
	})
}

func TestWatchWithoutAnAnswerIsAskedForAgain(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	done := u.watch(t.Context(), "lobby", false)
	v.wants(watched(1, lobby, `"count"`))
	v.answers(1)
	u.succeeds(done)
	done = u.watch(t.Context(), "lobby", true)
	v.wants(watched(2, lobby, `"users"`))
	v.closes(0)
	v = n.hello()
	v.wants(watched(2, lobby, `"users"`)) // and not "count", which it replaces
	v.answers(2)
	u.succeeds(done)
	v.closes(0)
	v = n.hello()
	v.wants(watched(3, lobby, `"users"`))
	u.leaves()
}

func TestUnwatchEndsAWatchThatWaits(t *testing.T) {
	n := newNode(t)
	u := n.connect(func(c *client.Config) { c.FirstPause, c.MaxPause = time.Hour, time.Hour })
	v := n.hello()
	first := u.watch(t.Context(), "lobby", true)
	v.wants(watched(1, lobby, `"users"`))
	done := u.unwatch("lobby")
	if got := receive(t, first, "the end of Watch"); !errors.Is(got.err, client.ErrUnwatched) {
		t.Errorf("Watch returned %v", got.err)
	}
	v.wants(watched(2, lobby, "false"))
	v.answers(1)
	v.answers(2)
	u.succeeds(done)
	v.closes(0)
	poll(t, func() bool { // once it has noticed, there is nobody to ask
		return receive(t, u.unwatch("lobby"), "the end of Unwatch").err == nil
	}, func() string { return "connected" })
	u.leaves()
	if err := u.Watch(t.Context(), "chat", "lobby", true); !errors.Is(err, client.ErrClosed) {
		t.Errorf("afterwards Watch says %v", err)
	}
}

func TestWatchOfWhatIsNoTextIsRefused(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	n.hello()
	if err := u.Watch(t.Context(), "chat", "\xff", true); err == nil {
		t.Error("it was sent")
	}
	if err := u.Unwatch(t.Context(), "chat", "\xff"); err == nil {
		t.Error("it was sent")
	}
	u.leaves()
}
