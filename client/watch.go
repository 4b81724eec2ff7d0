package client

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// What a watch tells of a place: see call.watch.
const (
	watchCount = "count" // how many users are there
	watchUsers = "users" // who they are
)

// Watch tells Handler.Presence who is in a room or, if room is empty, who is attached to
// the system: first how it is, and then what changes, at most about once a second. With
// users it is told the names of users, otherwise only how many there are. A second Watch
// of the same place replaces the first.
//
// The client watches again by itself on later connections, and the Handler is then told
// anew how it is. If a later node refuses that, or a new token does not allow it any more,
// the Handler is told so in a [Presence] with a Reason.
//
// Watch waits for a connection, and for the node's answer; if the connection is lost
// before that, it asks again on the next one. If the node refuses, the error is an
// [OpError]: with the code forbidden if the token does not allow it, and with unsupported
// if presence is not kept for the system, or not by this node. If ctx ends before the
// answer, later connections do not watch the place.
func (c *Client) Watch(ctx context.Context, system, room string, users bool) error {
	how := watchCount
	if users {
		how = watchUsers
	}
	a, err := watchCall(system, room, how)
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, a)
	return err
}

// Unwatch ends what [Client.Watch] began, also on later connections. A Watch of the same
// place that has no answer yet returns [ErrUnwatched]. Without a connection Unwatch
// returns at once. The Handler may still be called for what came before the answer.
func (c *Client) Unwatch(ctx context.Context, system, room string) error {
	a, err := watchCall(system, room, "")
	if err != nil {
		return err
	}
	if !c.forgetWatch(a.room) {
		return nil
	}
	_, err = c.ask(ctx, a)
	return err
}

// forgetWatch removes a place from those that are watched, and settles the calls that
// would add it. It says whether there is a session, whose node has to be told.
func (c *Client) forgetWatch(name string) (tell bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watches, name)
	for _, call := range c.pending {
		if call.watches(name) {
			c.settle(call, "", ErrUnwatched)
		}
	}
	return c.current != nil
}

// placeName returns the name of a place: system/room, or the system alone.
func placeName(system, room string) string {
	if room == "" {
		return system
	}
	return system + "/" + room
}

// watchCall returns a call that watches a place, or ends that if how is "".
func watchCall(system, room, how string) (*call, error) {
	w := struct {
		System string `json:"system"`
		Room   string `json:"room,omitempty"`
		Watch  any    `json:"watch"`
	}{system, room, how}
	if how == "" {
		w.Watch = false
	}
	name := placeName(system, room)
	if !utf8.ValidString(name) {
		return nil, fmt.Errorf("client: watching %q: not UTF-8", name)
	}
	text, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("client: watching %s: %w", name, err)
	}
	return &call{kind: callPresence, room: name, watch: how, text: text}, nil
}

// watches says whether a call asks to watch a place.
func (a *call) watches(name string) bool {
	return a.kind == callPresence && a.watch != "" && a.room == name
}

// watchAgain makes the calls with which a new connection watches what the last one
// watched, but for places for which such a call waits already. The caller holds mu.
func (c *Client) watchAgain() {
	for _, name := range slices.Sorted(maps.Keys(c.watches)) {
		if c.waitsToWatch(name) {
			continue
		}
		system, room, _ := strings.Cut(name, "/")
		a, _ := watchCall(system, room, c.watches[name]) // it could be made before
		a.again = true
		c.number(a)
		c.pending[a.ref] = a
	}
}

// waitsToWatch says whether a call of Watch for the place has no answer yet. The caller
// holds mu.
func (c *Client) waitsToWatch(name string) bool {
	for _, call := range c.pending {
		if call.watches(name) {
			return true
		}
	}
	return false
}

// forgetUnwatched forgets a place of which the node says that it is not watched any more.
func (s *session) forgetUnwatched(o *op) {
	if o.Reason == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watches, placeName(o.System, o.Room))
}

// notWatchedAgain forgets a place that a node has refused to watch again, and queues
// what the Handler is told of that.
func (s *session) notWatchedAgain(ctx context.Context, a *call, refused *OpError) error {
	s.mu.Lock()
	delete(s.watches, a.room)
	s.mu.Unlock()
	s.cfg.Logger.Warn("client: a place is not watched any more", "place", a.room, "err", refused)
	system, room, _ := strings.Cut(a.room, "/")
	told := map[string]any{"op": "presence", "system": system, "reason": refused.Code}
	if room != "" {
		told["room"] = room
	}
	raw, err := json.Marshal(told)
	if err != nil {
		return err
	}
	o := op{Name: "presence", System: system, Room: room, Reason: refused.Code}
	return s.out.push(ctx, event{raw: raw, op: o})
}

// sooner returns the shorter of two waits, of which 0 means none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
