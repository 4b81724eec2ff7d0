package cluster

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/client"
)

// handler returns a handler that records what the client receives in its mailbox,
// and what happens to it on the timeline.
func (c *Client) handler() client.Handler {
	return client.Handler{
		Hello: func(_ context.Context, h *client.Hello) error {
			c.note("is connected to %s%s", h.Node, resumed(h))
			c.box.change(func() {
				s := &c.box.state
				s.connected, s.hellos, s.session, s.busUp = true, s.hellos+1, h.Session, true
			})
			return nil
		},
		Message: func(_ context.Context, m *client.Message) error {
			if n, ok := fenceOf(m.Type, m.Data); ok {
				c.box.change(func() { c.box.fences[m.System] = max(n, c.box.fences[m.System]) })
				return nil
			}
			c.record(event{system: m.System, message: m})
			return nil
		},
		Gap: func(_ context.Context, g *client.Gap) error {
			c.record(event{system: g.System, gap: g})
			return nil
		},
		Bus: func(_ context.Context, up bool) error {
			c.note("is told that the bus is up: %v", up)
			c.box.change(func() { c.box.state.busUp = up })
			return nil
		},
		Left: func(_ context.Context, l *client.Left) error {
			c.note("must leave %s %s: %s", l.System, l.Room, l.Reason)
			return nil
		},
		Joined: func(_ context.Context, j *client.Joined) error {
			c.note("is put into %s/%s", j.System, j.Room)
			return nil
		},
		Lost: func(_ context.Context, l *client.Lost) error {
			c.note("has no connection: %v; tries again in %v", l.Err, l.Delay.Round(time.Millisecond/10))
			c.box.change(func() { c.box.state.connected = false })
			c.noteEnd(l.Err, false)
			return nil
		},
	}
}

func (c *Client) record(e event) {
	c.note("hears %s", &e)
	c.box.add(e)
}

func resumed(h *client.Hello) string {
	var all []string
	for name, p := range h.Systems {
		if p.Resumed {
			all = append(all, name)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return ", goes on in " + strings.Join(all, ", ")
}

// briefly shows a message on one line, its data shortened.
func briefly(id, kind string, data any) string {
	text, ok := data.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(data); err != nil {
			text = []byte(err.Error())
		}
	}
	const limit = 200 // bytes
	shown := string(text)
	if len(shown) > limit {
		shown = shown[:limit] + "…"
	}
	if kind != "" {
		shown = kind + " " + shown
	}
	if id != "" {
		shown += " (id " + id + ")"
	}
	return shown
}
