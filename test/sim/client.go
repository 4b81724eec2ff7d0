package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// A client is one user's device: it connects to any node, reads at its own
// pace, and when it is cut off it comes back, to any node, with the cursors it
// has. It writes down what happens to it.
type client struct {
	w       *world
	rnd     *rand.Rand
	user    string
	systems []string
	rooms   map[string][]string // system: rooms, named at connect
	cursors map[string]string
	events  map[string][]event // by system
	hellos  int
	node    map[string]string                  // by system: where it was last
	cut     atomic.Pointer[context.CancelFunc] // of the connection there is
	slow    atomic.Int64                       // most nanoseconds that it takes between two frames
	silent  atomic.Int64                       // once, before the next frame
	away    atomic.Int64                       // once, before the next connection
}

// An event is what a client was told in one system.
type event struct {
	resumed bool   // hello
	node    string // hello
	kind    string // "start": from here on it must miss nothing; "message"; "gap"
	n       int    // message: its number
	wire    int    // start: how much the bus had carried by then
	note    string // gap: the reason; else what may help to understand a fault
}

func (e event) String() string {
	switch e.kind {
	case "start":
		return fmt.Sprintf("start@%d", e.wire)
	case "message":
		return fmt.Sprint(e.n)
	}
	return e.kind + ":" + e.note
}

// An op is what a node says.
type op struct {
	Op      string          `json:"op"`
	System  string          `json:"system"`
	Cursor  string          `json:"cursor"`
	Node    string          `json:"node"`
	Reason  string          `json:"reason"`
	Data    json.RawMessage `json:"data"`
	RetryMS int             `json:"retry_ms"`
	Systems map[string]struct {
		Cursor  *string `json:"cursor"`
		Resumed bool    `json:"resumed"`
	} `json:"systems"`
}

// run connects again and again until ctx ends.
func (c *client) run(ctx context.Context) {
	pause := 10 * time.Millisecond
	for ctx.Err() == nil {
		before := c.hellos
		c.session(ctx)
		if c.hellos > before {
			pause = 10 * time.Millisecond
		}
		select {
		case <-time.After(pause/2 + time.Duration(c.rnd.Int64N(int64(pause))+c.away.Swap(0))):
		case <-ctx.Done():
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// session is one connection.
func (c *client) session(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.cut.Store(&cancel)
	conn, err := c.connect(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for {
		if wait := c.wait(); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return
		}
		lines := bufio.NewScanner(bytes.NewReader(frame))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			c.hear(lines.Bytes())
		}
	}
}

func (c *client) wait() (d time.Duration) {
	if slow := c.slow.Load(); slow > 0 {
		d = time.Duration(c.rnd.Int64N(slow))
	}
	return d + time.Duration(c.silent.Swap(0))
}

func (c *client) connect(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	q := url.Values{"user": {c.user}, "systems": {strings.Join(c.systems, ",")}}
	var rooms, resume []string
	for _, s := range c.systems {
		for _, r := range c.rooms[s] {
			rooms = append(rooms, s+"/"+r)
		}
		if cursor := c.cursors[s]; cursor != "" {
			resume = append(resume, s+":"+cursor)
		}
	}
	q.Set("rooms", strings.Join(rooms, ","))
	q.Set("resume", strings.Join(resume, ","))
	node := fmt.Sprint("n", c.rnd.IntN(c.w.cfg.Nodes))
	d := websocket.Dialer{
		Subprotocols:   []string{"fanfare.v1.json"},
		NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.w.net.Dial(ctx, node) },
	}
	conn, answer, err := d.DialContext(ctx, "ws://127.0.0.1/ws?"+q.Encode(), nil)
	if answer != nil && answer.StatusCode >= 400 && answer.StatusCode < 500 {
		c.w.fault("%s was refused: %s", c.user, answer.Status)
	}
	return conn, err
}

func (c *client) hear(line []byte) {
	var o op
	if err := json.Unmarshal(line, &o); err != nil {
		c.w.fault("%s heard what is no JSON: %q", c.user, line)
		return
	}
	if o.System != "" && o.Cursor != "" {
		c.cursors[o.System] = o.Cursor
	}
	switch o.Op {
	case "hello":
		c.hello(o)
	case "message":
		var body struct{ N int }
		if err := json.Unmarshal(o.Data, &body); err != nil {
			c.w.fault("%s got other data than was sent: %q", c.user, line)
			return
		}
		c.note(o.System, event{kind: "message", n: body.N})
	case "gap":
		c.note(o.System, event{kind: "gap", note: o.Reason})
	case "error":
		c.w.fault("%s was told an error: %q", c.user, line)
	}
}

func (c *client) hello(o op) {
	c.hellos++
	for name, s := range o.Systems {
		note := fmt.Sprintf("%s/resumed=%v", o.Node, s.Resumed)
		c.note(name, event{kind: "hello", resumed: s.Resumed, node: o.Node, note: note})
		if s.Resumed && c.node[name] != o.Node {
			c.w.count(1)
		}
		c.node[name] = o.Node
		if c.cursors[name] == "" {
			// It has no place yet: it counts from now on.
			c.note(name, event{kind: "start", wire: len(c.w.carried("fanfare." + name))})
		}
		// Who gave a cursor keeps it until a message, gap or cursor op replaces it:
		// the gap that hello promises may never arrive.
		if s.Cursor != nil && c.cursors[name] == "" {
			c.cursors[name] = *s.Cursor
		}
	}
}

func (c *client) note(system string, e event) { c.events[system] = append(c.events[system], e) }
