package control_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// step is how far a world goes at a time.
const step = 100 * time.Millisecond

// A world is some nodes and a bus between them, which loses, repeats and delays what it
// carries. Everything that happens follows from the seed.
type world struct {
	t     *testing.T
	rnd   *rand.Rand
	now   time.Duration
	log   bool
	up    bool
	nodes []*node
	made  int

	lose, repeat float64       // how likely that happens to a message, for each reader
	delay        time.Duration // the longest that a message takes to a reader
	kept         []string      // all messages, in order
	messages     int
	forged       bool // some are forged
}

// A node is a Machine with clocks and an inbox.
type node struct {
	*control.Machine
	w       *world
	name    string
	inc     string
	born    time.Duration
	skew    time.Duration // how far its wall clock is ahead
	frozen  bool
	cut     bool // it cannot reach the bus
	dumb    bool // it publishes no events
	mute    bool // it answers no questions
	gone    bool
	asked   int // questions that it has answered
	inbox   []letter
	effects []control.Effect
	events  []control.Event // that it has published
}

type letter struct {
	at   time.Duration
	text string
}

const start = int64(1_800_000_000_000)

func newWorld(t *testing.T, seed uint64) *world {
	t.Logf("seed %d", seed)
	return &world{t: t, rnd: rand.New(rand.NewPCG(seed, seed)), up: true, delay: 20 * time.Millisecond}
}

// clock returns a node's clocks. Their beginnings differ, as those of processes do.
func (n *node) clock() control.Now {
	mono := n.w.now - n.born + 7*time.Second
	return control.Now{Mono: mono, Wall: start + (n.w.now + n.skew).Milliseconds()}
}

// add starts a node. On a log it first reads what the log holds.
func (w *world) add(name string, change ...func(*control.Config, *node)) *node {
	w.made++
	n := &node{w: w, name: name, born: w.now, inc: fmt.Sprintf("01INC%08d%s", w.made, name)}
	cfg := control.Config{
		Node: name, Incarnation: n.inc, Version: "1.0", Log: w.log, Rand: w.rnd.Float64,
		Presence: func(domain.System) bool { return true }, Events: func(domain.System) bool { return true },
	}
	for _, c := range change {
		c(&cfg, n)
	}
	n.Machine = control.New(cfg, n.clock())
	if w.log {
		for _, text := range w.kept {
			n.receive(text, true)
		}
	}
	w.nodes = append(w.nodes, n)
	n.Subscribed(n.clock())
	return n
}

func (n *node) receive(text string, backlog bool) {
	if err := n.Receive(n.clock(), []byte(text), backlog); err != nil && !n.w.forged {
		n.w.t.Errorf("%s: %v: %s", n.name, err, text)
	}
	n.effects = append(n.effects, n.Effects()...)
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.now += step
		for _, n := range w.nodes {
			if !n.frozen && !n.gone {
				n.step()
			}
		}
	}
}

func (n *node) step() {
	w := n.w
	reaches := w.up && !n.cut
	for len(n.inbox) > 0 && n.inbox[0].at <= w.now && reaches {
		l := n.inbox[0]
		n.inbox = n.inbox[1:]
		n.receive(l.text, false)
	}
	n.Tick(n.clock())
	n.effects = append(n.effects, n.Effects()...)
	n.answer()
	if reaches && !n.dumb {
		some := n.Events(10)
		n.events = append(n.events, some...)
		n.Spoken(len(some))
	}
	if text := n.Flush(n.clock()); text != nil {
		if len(text) > control.DefaultMessage {
			w.t.Errorf("%s says %d bytes", n.name, len(text))
		}
		w.messages++
		ok := reaches
		if ok {
			w.publish(string(text))
			ok = w.log || w.rnd.Float64() >= w.lose/4 // the answer may be lost
		}
		n.Published(n.clock(), ok)
	}
}

// answer answers a question with the name of the node and the question's body.
func (n *node) answer() {
	for _, q := range n.Questions(10) {
		if n.mute {
			continue
		}
		n.asked++
		switch q.Kind {
		case "echo":
			n.Answer(n.clock(), q.ID, fmt.Appendf(nil, `{"%s":%s}`, n.name, q.Body), nil)
		case "large":
			n.Answer(n.clock(), q.ID, fmt.Appendf(nil, `"%s"`, strings.Repeat("x", control.MaxBody-2)), nil)
		case "larger":
			n.Answer(n.clock(), q.ID, fmt.Appendf(nil, `"%s"`, strings.Repeat("x", control.MaxBody-1)), nil)
		default:
			n.Answer(n.clock(), q.ID, nil, errors.New(control.UnknownKind))
		}
	}
}

// publish brings a message to all nodes, in order, but on a bus without a log perhaps
// not, or twice.
func (w *world) publish(text string) {
	w.kept = append(w.kept, text)
	for _, n := range w.nodes {
		if !w.log && w.rnd.Float64() < w.lose {
			continue
		}
		times := 1
		if w.rnd.Float64() < w.repeat {
			times = 2
		}
		for range times {
			at := w.now + time.Duration(w.rnd.Float64()*float64(w.delay))
			if len(n.inbox) > 0 && w.log {
				at = max(at, n.inbox[len(n.inbox)-1].at)
			}
			n.inbox = append(n.inbox, letter{at, text})
		}
	}
}

// kill ends a node without a word.
func (n *node) kill() { n.gone = true }

func (n *node) block(user string, ttl time.Duration) {
	n.w.t.Helper()
	key := control.Key{Kind: control.Block, Name: user}
	if _, err := n.Put(n.clock(), key, control.Value{Reason: "spam"}, ttl, false); err != nil {
		n.w.t.Fatal(err)
	}
}

func (n *node) blocked(user string) bool { return n.Check(user, "", time.Time{}) != nil }

// wantBlocked checks what all living nodes say of a user.
func (w *world) wantBlocked(user string, want bool) {
	w.t.Helper()
	for _, n := range w.nodes {
		if !n.gone && !n.frozen && n.blocked(user) != want {
			w.t.Errorf("at %v %s says that %s is blocked: %v", w.now, n.name, user, !want)
		}
	}
}

// wantNodes checks which nodes all living ones know.
func (w *world) wantNodes(names ...string) {
	w.t.Helper()
	for _, n := range w.nodes {
		if n.gone || n.frozen {
			continue
		}
		var got []string
		for _, info := range n.Nodes(n.clock()) {
			got = append(got, info.Name)
		}
		if fmt.Sprint(got) != fmt.Sprint(names) {
			w.t.Errorf("at %v %s knows %v, want %v", w.now, n.name, got, names)
		}
	}
}
