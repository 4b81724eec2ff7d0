package receipt

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// Answer answers another node's question about a message: what became of it in the sessions
// of this node, those that have ended included.
func (d *Desk) Answer(_ context.Context, body []byte) ([]byte, error) {
	var q query
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("receipt: not a question: %w", err)
	}
	system, err := domain.ParseSystem(q.System)
	if err != nil {
		return nil, err
	}
	asked, err := domain.ParseCursor(q.At)
	if err != nil {
		return nil, err
	}
	at, known := d.place(system, q.ID, asked)
	all := make([]*collection, len(q.To))
	for i, text := range q.To {
		to, err := domain.ParseTarget(text)
		if err != nil {
			return nil, err
		}
		all[i] = newCollection()
		if known {
			d.addOwn(all[i], system, at, to)
		}
		if hurry := min(time.Duration(q.Hurry)*time.Millisecond, MaxWait); hurry > 0 && d.marks != nil {
			d.hurry(system, to, hurry)
		}
	}
	token := ""
	if known {
		token = at.String()
	}
	return marshal(token, all, q.After, min(max(q.Limit, 0), MaxLimit))
}

// hurry has the marks of a user said at once.
func (d *Desk) hurry(system domain.System, to domain.Target, within time.Duration) {
	if to.Kind() == domain.KindUser {
		d.marks.Hurry(system, to.Name(), within)
	}
}

// place returns where a message is on this node. On a bus with a log that is where it is for
// the node that asks; otherwise this node has to look for it.
func (d *Desk) place(system domain.System, id string, asked domain.Cursor) (domain.Cursor, bool) {
	for _, s := range d.streams.Streams() {
		if s.System() != system {
			continue
		}
		if head, _ := s.Cursor(); head.Log == asked.Log {
			return asked, true
		}
		if all := s.FindID(id); len(all) > 0 {
			return all[0].Cursor, true
		}
		return asked, false
	}
	return asked, true // nobody hears the system here
}

// addOwn adds what became of a message in the sessions of this node.
func (d *Desk) addOwn(c *collection, system domain.System, at domain.Cursor, to domain.Target) {
	place := domain.Location{Log: at.Log, Position: at.Position}
	d.sessions.Deliveries(system, place, to, func(x control.Delivery) {
		x.Mark.Node = d.cfg.Node
		c.add(sessionOf(&x))
	})
	if d.marks == nil || to.Kind() == domain.KindRoom {
		return
	}
	d.eachMark(system, to, func(mark *control.Mark, mine, alive bool) {
		if !mine || mark.Ended == 0 {
			return
		}
		if x := fateOf(mark, at, alive); x.Fate != control.FateNone {
			c.add(sessionOf(&x))
		}
	})
}
