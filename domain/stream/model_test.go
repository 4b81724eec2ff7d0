package stream_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// TestNothingIsMissedUnlessAGapSaysSo drives a Stream with random deliveries,
// breaks, slow sessions and reconnects, and holds what each client got against
// what was sent: in order, once each, complete but for what a gap covers.
func TestNothingIsMissedUnlessAGapSaysSo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, s: withPast(silent{}, stream.Config{
			Messages: rapid.IntRange(2, 12).Draw(t, "window"),
			MaxScan:  rapid.IntRange(3, 30).Draw(t, "scan"),
			Backlog:  stream.NewBudget(int64(1) << rapid.IntRange(8, 20).Draw(t, "backlog")),
		})}
		for range 3 {
			w.clients = append(w.clients, &client{w: w, name: fmt.Sprint("user:c", len(w.clients))})
		}
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) {
				w.deliver(rapid.SampledFrom([][]string{{"user:c0"}, {"user:c1", "user:c0"}, {"*"}, {"room:x"}, {"room:x", "*"}, {"user:z"}}).Draw(t, "to"))
			},
			"break": func(t *rapid.T) { w.breakOff() },
			"skip":  func(t *rapid.T) { w.at++; w.s.poison(pos(w.at), time.Time{}) },
			"connect": func(t *rapid.T) {
				w.some(t).connect(rapid.Bool().Draw(t, "with its cursor"), rapid.IntRange(0, 3).Draw(t, "room"))
			},
			"log": func(t *rapid.T) {
				w.readLog(rapid.IntRange(0, 6).Draw(t, "entries"), rapid.IntRange(0, 9).Draw(t, "outcome"))
			},
			"read": func(t *rapid.T) { w.some(t).read(rapid.IntRange(1, 5).Draw(t, "frames")) },
		})
		if w.b != nil {
			w.s.Abandon(w.b)
		}
		for more := true; more; more = w.s.Stats().Behind > 0 { // a reading may wait for its riders, and they for another
			w.s.serve()
			for _, c := range w.clients {
				c.read(1000)
			}
		}
		for _, c := range w.clients {
			c.check()
		}
	})
}

// A world is what really happened.
type world struct {
	t       *rapid.T
	s       *logged
	at      int
	b       *stream.Backfill // being read
	from    int              // where in the log
	sent    []sent
	clients []*client
}

type sent struct {
	at int
	to []string
}

func (w *world) deliver(to []string) {
	w.at++
	w.sent = append(w.sent, sent{at: w.at, to: to})
	w.s.deliver(w.at, "x", to...)
}

// breakOff loses a message for everyone: the log has it, the stream does not
// get it and says that there is a gap.
func (w *world) breakOff() {
	w.at++
	at := w.at
	w.sent = append(w.sent, sent{at: at, to: []string{"*"}})
	w.s.log = append(w.s.log, logEntry{at, func() *domain.Message { return message(fmt.Sprint("id-", at), "x", "*") }})
	w.s.gap(domain.Lossy, logA, pos(at), time.Time{})
}

// readLog reads some entries of the log for whom it may concern; now and then
// that fails.
func (w *world) readLog(entries, outcome int) {
	if w.b == nil {
		w.b, _ = w.s.NextBackfill()
		w.from = 0
		return
	}
	for ; entries > 0 && w.from < len(w.s.log); entries-- {
		e := w.s.log[w.from]
		w.from++
		if w.b.From.IsZero() && pos(e.at) <= w.b.After.Position {
			continue
		}
		if !w.b.Add([]domain.Entry{{Position: pos(e.at)}}, []*domain.Message{e.msg()}) {
			w.s.EndTurn(w.b)
			w.b = nil
			return
		}
	}
	switch outcome {
	case 0:
		w.s.Fail(w.b, domain.Trimmed)
	case 1:
		w.s.Abandon(w.b)
	case 2:
		w.s.EndTurn(w.b)
	default:
		return
	}
	w.b = nil
}

func (w *world) some(t *rapid.T) *client { return rapid.SampledFrom(w.clients).Draw(t, "client") }

// A client reads at its own pace and comes back with the cursor of the last
// frame that it has read.
type client struct {
	w      *world
	name   string
	a      *stream.Attachment
	since  int // the position from which on it must miss nothing; 0 before it ever connected
	queue  []string
	room   int
	got    []string
	cursor domain.Cursor
}

func (c *client) Offer(f stream.Frame) bool {
	if len(c.queue) > c.room {
		return false
	}
	c.queue = append(c.queue, string(f.Bytes))
	return true
}

func (c *client) connect(resume bool, room int) {
	if c.a != nil {
		c.a.Detach()
	}
	c.queue, c.room = nil, room
	since := c.cursor
	if !resume || c.since == 0 {
		// It begins anew.
		since, c.got, c.since = domain.Cursor{}, nil, c.w.at+1
	}
	var at domain.Cursor
	c.a, at, _ = c.w.s.Attach(stream.Asker{}, c, encoder{&session{}}, since, target(c.name), target("room:x"))
	if since.IsZero() {
		c.cursor = at
	}
	c.a.Fill()
}

func (c *client) read(n int) {
	for range n {
		if len(c.queue) == 0 && (c.a == nil || c.a.Fill() && len(c.queue) == 0) {
			return
		}
		if len(c.queue) == 0 {
			continue
		}
		frame := c.queue[0]
		c.queue = c.queue[1:]
		c.got = append(c.got, frame)
		c.cursor = domain.Cursor{Log: logA, Position: pos(place(frame))}
		c.a.Fill()
	}
}

// position returns the position that a frame names: "7 user:a x" or "gap why 7".
func place(frame string) int {
	words := strings.Fields(frame)
	if words[0] == "gap" {
		words = words[2:]
	}
	n, err := strconv.Atoi(words[0])
	if err != nil {
		panic(err)
	}
	return n
}

func (c *client) check() {
	if c.since == 0 {
		return
	}
	last, covered := c.since-1, c.since-1
	have := make(map[int]bool)
	for _, frame := range c.got {
		n := place(frame)
		if strings.HasPrefix(frame, "gap") {
			covered = max(covered, n)
			for i := last + 1; i <= n; i++ {
				have[i] = true // lost, and told so
			}
			last = max(last, n)
			continue
		}
		if n <= last && have[n] || n < last {
			c.w.t.Fatalf("%s got %d after %d: %q", c.name, n, last, c.got)
		}
		have[n], last = true, n
	}
	for _, m := range c.w.sent {
		if m.at < c.since || have[m.at] || !c.wants(m) {
			continue
		}
		c.w.t.Fatalf("%s misses %d %v since %d: %q", c.name, m.at, m.to, c.since, c.got)
	}
}

func (c *client) wants(m sent) bool {
	for _, to := range m.to {
		if to == c.name || to == "room:x" || to == "*" {
			return true
		}
	}
	return false
}

// silent is a testing.TB for fixtures inside rapid.
type silent struct{ testing.TB }

func (silent) Helper() {}
