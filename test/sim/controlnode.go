package sim

import (
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// A controlNode is a node in a [controlWorld]: its part in the control plane, and what a
// port does around it. It has clocks of its own.
type controlNode struct {
	w       *controlWorld
	name    string
	m       *control.Machine
	inc     string
	since   time.Duration // when it was started
	learned time.Duration // how long it has listened since
	skew    time.Duration // how far its wall clock is ahead of the world's

	running bool
	frozen  time.Duration // until when it is stopped
	cut     time.Duration // until when it cannot reach the bus
	told    bool          // it knows that it cannot
	box     *letterbox

	flight    []byte        // what it is publishing; nil: nothing
	landing   time.Duration // when it is answered
	lost      bool          // the answer is: it is not known whether the bus has it
	nextFlush time.Duration
	leaving   bool

	held map[control.Key]string          // the writing of each fact that it knows
	over map[control.Key]map[string]bool // writings that it knows to be over
}

// clockStart is the world's time zero, in milliseconds since 1970.
const clockStart = 1_800_000_000_000

func (n *controlNode) now() control.Now {
	return control.Now{
		Mono: n.w.at - n.since,
		Wall: clockStart + (n.w.at + n.skew).Milliseconds(),
	}
}

// start runs the node from nothing, as after a crash.
func (n *controlNode) start() {
	w := n.w
	n.inc = fmt.Sprintf("01%024X", w.started)
	w.started++
	n.since, n.running, n.leaving, n.flight, n.told = w.at, true, false, nil, false
	n.frozen, n.cut, n.learned, n.nextFlush = 0, w.down, 0, w.at
	n.held, n.over = map[control.Key]string{}, map[control.Key]map[string]bool{}
	all := func(domain.System) bool { return true }
	n.m = control.New(control.Config{
		Node: n.name, Incarnation: n.inc, Presence: all, Events: all, Log: w.cfg.Log,
		Refresh: time.Minute, Rand: w.rnd.Float64,
	}, n.now())
	n.box = &letterbox{capacity: 200, read: len(w.bus.entries)}
	if w.cfg.Log {
		n.readBacklog()
	}
	n.m.SetBusUp(n.now(), true)
	n.m.Subscribed(n.now())
	w.note("%s starts as %s", n.name, n.inc[20:])
}

func (n *controlNode) readBacklog() {
	for _, e := range n.w.bus.entries {
		if e.at > n.w.at-3*time.Minute {
			_ = n.m.Receive(n.now(), e.payload, true) // what is refused is counted
		}
	}
}

// step lets the node do what is due.
func (n *controlNode) step() {
	w := n.w
	if !n.running || n.frozen > w.at {
		return
	}
	reaches := n.cut <= w.at
	if reaches == n.told {
		n.told = !reaches
		n.m.SetBusUp(n.now(), reaches)
		if reaches && !w.cfg.Log {
			n.m.Gap(n.now())
		}
	}
	if reaches {
		n.hear()
	}
	n.m.Tick(n.now())
	n.m.Effects()
	n.land()
	if n.flight == nil && n.nextFlush <= w.at {
		n.send(reaches)
	}
	n.speak(reaches)
}

func (n *controlNode) hear() {
	arrived, missed := n.w.bus.take(n.box, n.w.at-time.Duration(n.w.rnd.IntN(50))*time.Millisecond)
	if missed && n.w.rnd.IntN(2) == 0 {
		n.m.Gap(n.now())
	}
	for _, payload := range arrived {
		_ = n.m.Receive(n.now(), payload, false) // what is refused is counted
	}
}

// send publishes what the node has to say. The bus has it at once; the answer comes later.
func (n *controlNode) send(reaches bool) {
	w := n.w
	if n.flight = n.m.Flush(n.now()); n.flight == nil {
		return
	}
	n.landing = w.at + time.Duration(w.rnd.IntN(60))*time.Millisecond
	n.lost = !reaches
	if reaches {
		w.bus.publish(w.at, n.flight, w.boxes())
		n.lost = w.calm == 0 && w.rnd.IntN(40) == 0
	}
	if n.lost {
		n.landing = w.at + 800*time.Millisecond
	}
}

// land takes the answer of what is being published.
func (n *controlNode) land() {
	if n.flight == nil || n.landing > n.w.at {
		return
	}
	n.flight, n.nextFlush = nil, n.w.at+100*time.Millisecond
	n.m.Published(n.now(), !n.lost)
	if n.leaving {
		n.running = false
	}
}

// speak publishes the events that the node has to tell.
func (n *controlNode) speak(reaches bool) {
	if !reaches {
		return
	}
	events := n.m.Events(100)
	for _, e := range events {
		n.w.note("%s tells %s of %q in %v", n.name, e.Type, e.User, e.Place)
		n.w.spoken = append(n.w.spoken, spokenEvent{e, n.name, n.w.at})
	}
	n.m.Spoken(len(events))
}

// leave ends the node as a drain does.
func (n *controlNode) leave() {
	n.m.SetStatus(n.now(), control.Status{Draining: true})
	n.m.Leave(n.now())
	n.leaving = true
	n.w.note("%s leaves", n.name)
}
