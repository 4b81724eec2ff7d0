package client

import (
	"cmp"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Proxies refuse long addresses, many of them beyond 8 KiB. A room for which
// the address of a connection has no space is joined late: with an op, since the
// cursor with which the connection begins. Until the node has told what the room
// missed, Cursors stay where they were: whoever goes on from them misses
// nothing.

// roomSpace is how much rooms may take of an address, in bytes; with all else it
// stays below 8 KiB.
const roomSpace = 3000

// latePause is about how long late joins wait when a node had no time for one. It
// is no setting: ten refusals in a row end a session.
const latePause = 500 * time.Millisecond

// fitting returns the rooms for which an address has space.
func fitting(rooms []string) (named []string) {
	space := roomSpace
	for _, name := range rooms {
		if space -= len("&rooms=") + len(url.QueryEscape(name)); space >= 0 {
			named = append(named, name)
		}
	}
	return named
}

// joinLate makes calls of the rooms that were not named. They are rooms again
// once a node has answered. The caller holds mu.
func (c *Client) joinLate(named []string) {
	var rooms []string
	for _, name := range c.rooms {
		if slices.Contains(named, name) {
			rooms = append(rooms, name)
			continue
		}
		system, room, _ := strings.Cut(name, "/")
		text, _ := joinOp(system, room, c.seen[system]) // strings can be encoded
		a := &call{kind: callJoin, room: name, text: text, late: true}
		c.number(a)
		c.pending[a.ref] = a
		c.holds[system]++
	}
	c.rooms = rooms
}

// postpone lets a late join be asked for again, if the answer can be another one
// in a moment. Nodes limit the rate of ops, and other ops need their share. The
// caller holds mu.
func (c *Client) postpone(a *call, refused *OpError) bool {
	if refused == nil || !slices.Contains([]string{"busy", "rate_limited", "bus_down"}, refused.Code) {
		return false
	}
	a.written, c.lateAt = false, time.Now().Add(latePause/2+rand.N(latePause))
	c.unsent = append(c.unsent, a)
	slices.SortStableFunc(c.unsent, func(a, b *call) int { return cmp.Compare(a.ref, b.ref) })
	c.late = nil
	signal(c.wake)
	return true
}

// lateSettled lets the next late join go. One without an answer has nothing to
// wait for: the hold of one that succeeded ends when the Handler has been told
// what came before the answer. The caller holds mu.
func (c *Client) lateSettled(a *call, err error) {
	if c.late == a {
		c.late = nil
		signal(c.wake)
	}
	if err != nil && c.running {
		system, _, _ := strings.Cut(a.room, "/")
		c.release(system)
	}
}

// release ends one hold of a system. The caller holds mu.
func (c *Client) release(system string) {
	if c.holds[system]--; c.holds[system] > 0 {
		return
	}
	delete(c.holds, system)
	if at := c.behind[system]; at != "" {
		c.handled[system] = at
	}
	delete(c.behind, system)
}

// toldLate queues what the answer to a late join means for the Handler.
func (s *session) toldLate(ctx context.Context, a *call, refused *OpError) error {
	system, room, _ := strings.Cut(a.room, "/")
	if refused == nil {
		return s.out.push(ctx, event{released: system})
	}
	s.cfg.Logger.Warn("client: a room was refused", "room", a.room, "err", refused)
	left := op{Name: "left", System: system, Room: room, Reason: refused.Code}
	raw, err := json.Marshal(map[string]string{
		"op": left.Name, "system": system, "room": room, "reason": left.Reason,
	})
	if err != nil {
		return err
	}
	return s.out.push(ctx, event{raw: raw, op: left})
}
