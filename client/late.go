package client

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Proxies refuse long addresses, many of them from 8 KiB on. A room that does not fit
// into the address of a connection is joined late: by an op, with the cursor at which
// the connection began. The node answers the op when it has sent what the room missed.
// Until then the cursors of the room's system do not move: a program that starts again
// with them misses nothing of the room.

// roomSpace is how many bytes of an address are for rooms. With all the rest of it, the
// address stays below 8 KiB.
const roomSpace = 3000

// latePause is how long, on average, a call of the client's own waits after the node was
// too busy for it. It is not a setting, since it has to suit the node: ten refusals in a row end a
// session.
const latePause = 500 * time.Millisecond

// fitting returns the rooms that fit into an address.
func fitting(rooms []string) (named []string) {
	space := roomSpace
	for _, name := range rooms {
		if space -= len("&rooms=") + len(url.QueryEscape(name)); space >= 0 {
			named = append(named, name)
		}
	}
	return named
}

// joinLate turns the rooms that were not named in the address into calls. They are
// among the rooms again once a node has answered. The caller holds mu.
func (c *Client) joinLate(named []string) {
	var rooms []string
	for _, name := range c.rooms {
		if slices.Contains(named, name) {
			rooms = append(rooms, name)
			continue
		}
		system, room, _ := strings.Cut(name, "/")
		j := joining{System: system, Room: room, Since: c.seen[system]}
		text, _ := json.Marshal(j) // strings can always be encoded
		a := &call{kind: callJoin, room: name, text: text, late: true}
		c.number(a)
		c.pending[a.ref] = a
		c.holds[system]++
	}
	c.rooms = rooms
}

// postpone puts a late join, or a call that watches again, back into the line of what is
// to be sent, if it was refused for a reason that passes. It says whether it did. The
// call is sent after a pause, which leaves other ops their share of the rate that nodes
// allow. The caller holds mu.
func (c *Client) postpone(a *call, refused *OpError) bool {
	passing := []string{"busy", "rate_limited", "bus_down"}
	if refused == nil || !slices.Contains(passing, refused.Code) {
		return false
	}
	a.answersLess()
	a.written, a.on = false, nil
	at := time.Now().Add(latePause/2 + rand.N(latePause))
	c.unsent = append(c.unsent, a)
	slices.SortStableFunc(c.unsent, byRef)
	if a.late {
		c.late, c.lateAt = nil, at
	} else {
		a.due = at
	}
	c.wakeWriter()
	return true
}

// lateSettled lets the next late join be sent. If this one failed, its hold on the
// cursors ends now, as nothing comes for it. If it succeeded, the hold ends when the
// Handler has returned for all that came before the answer. The caller holds mu.
func (c *Client) lateSettled(a *call, err error) {
	if c.late == a {
		c.late = nil
		c.wakeWriter()
	}
	if err != nil && c.running {
		system, _, _ := strings.Cut(a.room, "/")
		c.release(system)
	}
}

// release ends one hold on the cursors of a system. With the last one, handled becomes
// what it would be without holds. The caller holds mu.
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

// lateAnswered queues what the answer to a late join means: the end of its hold or, if
// the room was refused, a left for the Handler.
func (s *session) lateAnswered(ctx context.Context, a *call, refused *OpError) error {
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
