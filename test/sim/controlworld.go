package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// A ControlConfig says what a world of control planes is like.
type ControlConfig struct {
	Seed  uint64
	Nodes int
	Log   bool // the bus keeps what it carried
	// Peaceful lets nothing happen to nodes; only the whole bus goes down. Nobody may be
	// declared dead then.
	Peaceful bool
	Trace    bool
}

// A controlWorld is one run: nodes with clocks of their own on a bus, without a goroutine.
type controlWorld struct {
	cfg   ControlConfig
	rnd   *rand.Rand
	bus   *controlBus
	at    time.Duration
	calm  time.Duration // when all trouble ended; 0: it has not
	down  time.Duration // until when the bus is down for all
	nodes []*controlNode

	started   int // incarnations so far
	users     []*controlUser
	writings  map[string]*writing
	writes    int
	completed int // commands that were applied everywhere
	awaited   []*awaited
	spoken    []spokenEvent
	// silent says that there was a time without any node that could know who had been told
	// of: what happened then was told by nobody.
	silent   bool
	wasKnown bool // there was a node that had listened for long

	faults []string
	story  []string
}

// A controlUser is a user with some devices.
type controlUser struct {
	name     string
	sessions []controlSession
}

// A controlSession is a device that is attached to a node, or on its way to one.
type controlSession struct {
	node  *controlNode
	inc   string // the node's, when it was attached
	place []control.Place
	comes time.Duration // when it attaches again, if node is nil
}

type spokenEvent struct {
	control.Event
	by string
	at time.Duration
}

const (
	controlStep  = 50 * time.Millisecond
	controlLife  = 4 * time.Minute
	controlQuiet = 100 * time.Second
)

var controlPlaces = func() (all []control.Place) {
	for _, name := range []string{"orders", "chat"} {
		s, _ := domain.ParseSystem(name) // it is a name
		all = append(all, control.Place{System: s}, control.Place{System: s, Room: "lobby"})
	}
	return all
}()

// RunControl runs a world to its end. It returns what was wrong in it, and how many
// commands were seen to be applied everywhere.
func RunControl(cfg ControlConfig) (faults []string, completed int) {
	rnd := rand.New(rand.NewPCG(cfg.Seed, 7))
	w := &controlWorld{cfg: cfg, rnd: rnd, writings: map[string]*writing{}}
	w.bus = &controlBus{rnd: rnd, log: cfg.Log}
	if !cfg.Log {
		w.bus.loss = []float64{0, 0.01, 0.1}[rnd.IntN(3)]
	}
	for i := range cfg.Nodes {
		n := &controlNode{w: w, name: fmt.Sprint("n", i), skew: w.skew()}
		w.nodes = append(w.nodes, n)
		n.start()
	}
	for i := range 8 {
		w.users = append(w.users, &controlUser{name: fmt.Sprint("u", i)})
	}
	for ; w.at < controlLife; w.at += controlStep {
		w.happen()
		w.step()
	}
	w.heal()
	for end := w.at + controlQuiet; w.at < end; w.at += controlStep {
		w.step()
	}
	w.judge()
	return w.faults, w.completed
}

func (w *controlWorld) step() {
	for _, u := range w.users {
		u.step(w)
	}
	alive, known := false, false
	for _, n := range w.nodes {
		n.step()
		alive = alive || n.running
		known = known || n.running && n.learned >= allKnown
		w.checkFacts(n)
	}
	w.silent = w.silent || !alive || w.wasKnown && !known
	w.wasKnown = w.wasKnown || known
	if !known {
		w.onlyLog()
	}
	w.checkAwaited()
}

// skew is how wrong a clock is.
func (w *controlWorld) skew() time.Duration {
	switch w.rnd.IntN(4) {
	case 0:
		return time.Duration(w.rnd.IntN(1200)-600) * time.Second
	case 1:
		return time.Duration(w.rnd.IntN(2000)-1000) * time.Millisecond
	}
	return 0
}

func (w *controlWorld) boxes() (all []*letterbox) {
	for _, n := range w.nodes {
		if n.running && n.cut <= w.at {
			all = append(all, n.box)
		} else if n.running {
			n.box.missed = true
		}
	}
	return all
}

// heal ends all trouble. Every node that is down starts again.
func (w *controlWorld) heal() {
	w.calm, w.down, w.bus.loss = w.at, 0, 0
	for _, n := range w.nodes {
		n.frozen, n.cut = 0, 0
		if !n.running || n.leaving {
			n.start()
		}
	}
	w.note("all is well")
}

// happen lets things happen, most of them to users.
func (w *controlWorld) happen() {
	n := w.nodes[w.rnd.IntN(len(w.nodes))]
	switch w.rnd.IntN(60) {
	case 0, 1, 2, 3:
		w.comeOrGo(n)
	case 4, 5:
		w.write(n)
	case 6:
		w.repeat()
	case 7:
		if w.rnd.IntN(8) == 0 {
			w.mishap(n)
		}
	}
}

// repeat lets somebody say again what was said once, or a part of it. A node that cannot
// be heard now must not be quoted to one that has never heard it: nobody could tell that
// from the node itself.
func (w *controlWorld) repeat() {
	for _, n := range w.nodes {
		if n.running && (n.cut > w.at || n.frozen > w.at) {
			return
		}
	}
	if len(w.bus.entries) > 0 {
		old := w.bus.entries[w.rnd.IntN(len(w.bus.entries))].payload
		w.bus.publish(w.at, old[:len(old)-w.rnd.IntN(2)*w.rnd.IntN(len(old))], w.boxes())
	}
}

// mishap lets one thing go wrong.
func (w *controlWorld) mishap(n *controlNode) {
	seconds := func(most int) time.Duration { return time.Duration(w.rnd.IntN(most*1000)) * time.Millisecond }
	what := w.rnd.IntN(8)
	if w.cfg.Peaceful {
		what = 6 + w.rnd.IntN(2)
	}
	switch what {
	case 0, 1: // kill -9
		if n.running {
			n.running = false
			w.note("%s crashes", n.name)
		} else {
			n.start()
		}
	case 2:
		if n.running && !n.leaving && n.frozen <= w.at {
			n.leave()
		}
	case 3:
		n.frozen = w.at + seconds(40)
		w.note("%s is stopped until %v", n.name, n.frozen)
	case 4:
		n.cut = w.at + seconds(40)
		w.note("%s is cut off until %v", n.name, n.cut)
	case 5:
		for _, one := range w.nodes {
			one.running = false
		}
		w.silent = true
		w.note("all crash")
		for _, one := range w.nodes {
			if w.rnd.IntN(2) == 0 {
				one.start()
			}
		}
	case 6:
		n.skew += w.skew()
		w.note("the clock of %s steps to %v", n.name, n.skew)
	case 7:
		until := w.at + seconds(70)
		w.note("the bus is down until %v", until)
		w.down = until
		for _, one := range w.nodes {
			one.cut = until + time.Duration(w.rnd.IntN(2000))*time.Millisecond
		}
	}
}

// comeOrGo attaches a device of a user to a node, or detaches one.
func (w *controlWorld) comeOrGo(n *controlNode) {
	u := w.users[w.rnd.IntN(len(w.users))]
	if len(u.sessions) > 2 || len(u.sessions) > 0 && w.rnd.IntN(2) == 0 {
		s := u.sessions[0]
		u.sessions = slices.Delete(u.sessions, 0, 1)
		if s.attached() {
			s.change(u.name, -1)
		}
		return
	}
	first := 2 * w.rnd.IntN(2)
	s := controlSession{place: controlPlaces[first : first+1+w.rnd.IntN(2)], comes: w.at}
	u.sessions = append(u.sessions, s)
}

// attached reports whether the node still has the session.
func (s *controlSession) attached() bool {
	return s.node != nil && s.node.running && s.node.inc == s.inc
}

func (s *controlSession) change(user string, delta int) {
	for _, p := range s.place {
		s.node.m.Attach(s.node.now(), p, user, delta)
	}
}

// step lets devices that have lost their node come back to another one. A node that is
// stopped or drains takes nobody.
func (u *controlUser) step(w *controlWorld) {
	for i := range u.sessions {
		s := &u.sessions[i]
		if s.attached() {
			if s.node.leaving {
				s.change(u.name, -1)
				s.node, s.comes = nil, w.at
			}
			continue
		}
		if s.node != nil {
			s.node, s.comes = nil, w.at+time.Duration(w.rnd.IntN(8000))*time.Millisecond
		}
		n := w.nodes[w.rnd.IntN(len(w.nodes))]
		if s.comes <= w.at && n.running && !n.leaving && n.frozen <= w.at {
			s.node, s.inc = n, n.inc
			s.change(u.name, 1)
		}
	}
}

func (w *controlWorld) note(format string, args ...any) {
	if w.cfg.Trace {
		w.story = append(w.story, fmt.Sprintf("%v: ", w.at)+fmt.Sprintf(format, args...))
	}
}

func (w *controlWorld) fault(format string, args ...any) {
	if len(w.faults) < 20 {
		w.faults = append(w.faults, fmt.Sprintf("%v: ", w.at)+fmt.Sprintf(format, args...))
	}
}
