package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

// The checker of control planes knows what users and operators did, and asks the nodes
// what they know.

// A writing is one Put or Delete of a fact.
type writing struct {
	id     string
	key    control.Key
	delete bool
	at     time.Duration
	ends   time.Duration
	over   map[string]bool // the writings that its writer knew, which it replaces
	// restarted says that no node was left that had heard it: from then on its
	// end is by the clocks of whoever reads the log.
	restarted bool
	late      bool // a node has held it for too long, which was told
}

// An awaited is a command whose outcome is asked for.
type awaited struct {
	id      string
	writing *writing
	node    *controlNode
	inc     string
	until   time.Duration
}

// endTolerance is how exactly the end of a fact is kept, by clocks that are not set: what
// the bus needed to bring it, and then to bring it on.
const endTolerance = 12 * time.Second

// allKnown is how long a node that has started may go by the clocks of messages that it has
// read in the log: until it has listened to somebody who knows better.
const allKnown = 25 * time.Second

// allStart is how long nodes that start at the same time may each take themselves for the
// one that speaks.
const allStart = 90 * time.Second

var controlKeys = func() (all []control.Key) {
	for i := range 4 {
		all = append(all, control.Key{Kind: control.Block, Name: fmt.Sprint("u", i)})
	}
	for i := range 2 {
		all = append(all, control.Key{Kind: control.RevokeUser, Name: fmt.Sprint("u", i)})
	}
	return all
}()

// write lets an operator change a fact through a node.
func (w *controlWorld) write(n *controlNode) {
	if !n.running || n.leaving || n.frozen > w.at {
		return
	}
	key := controlKeys[w.rnd.IntN(len(controlKeys))]
	w.writes++
	x := &writing{id: fmt.Sprint("w", w.writes), key: key, at: w.at, over: map[string]bool{}}
	x.delete = w.rnd.IntN(4) == 0
	if before := n.held[key]; before != "" {
		x.over[before] = true
		for id := range w.writings[before].over {
			x.over[id] = true
		}
	}
	for id := range n.over[key] {
		x.over[id] = true
	}
	ttl := 20*time.Second + time.Duration(w.rnd.IntN(300))*time.Second
	x.ends = w.at + ttl
	w.writings[x.id] = x
	await := w.rnd.IntN(3) == 0
	var id string
	var err error
	if x.delete {
		id, err = n.m.Delete(n.now(), key, await)
	} else {
		id, err = n.m.Put(n.now(), key, x.value(w.writes), ttl, await)
	}
	if err != nil {
		w.fault("%s could not write %s: %v", n.name, x.id, err)
		return
	}
	w.note("%s writes %s: %v, delete %v, until %v", n.name, x.id, key, x.delete, x.ends)
	n.see(x)
	if await {
		w.awaited = append(w.awaited, &awaited{id, x, n, n.inc, w.at + 10*time.Second})
	}
}

// value returns what the nth writing says.
func (x *writing) value(n int) control.Value {
	if x.key.Kind == control.Block {
		return control.Value{Reason: x.id}
	}
	return control.Value{Before: int64(n)}
}

// writingOf returns the id of the writing that a fact comes from.
func writingOf(f control.Fact) string {
	if f.Key.Kind == control.Block {
		return f.Value.Reason
	}
	return fmt.Sprint("w", f.Value.Before)
}

// see notes that the node knows a writing.
func (n *controlNode) see(x *writing) {
	over := n.over[x.key]
	if over == nil {
		over = map[string]bool{}
		n.over[x.key] = over
	}
	if before := n.held[x.key]; before != "" {
		over[before] = true
	}
	for id := range x.over {
		over[id] = true
	}
	if n.held[x.key] = x.id; x.delete {
		over[x.id] = true
		n.held[x.key] = ""
	}
}

// checkFacts looks at what a node knows of each fact since the last time.
func (w *controlWorld) checkFacts(n *controlNode) {
	if !n.running || n.frozen > w.at {
		return
	}
	learns := n.learned < allKnown
	if n.cut <= w.at {
		n.learned += controlStep
	}
	for _, key := range controlKeys {
		before := n.held[key]
		f, found := n.m.Fact(key)
		if !found {
			if before != "" && !learns && !w.mayEnd(w.writings[before]) {
				w.fault("%s has lost %s of %v", n.name, before, key)
			}
			if before != "" {
				n.see(&writing{id: before, key: key, delete: true})
			}
			continue
		}
		id := writingOf(f)
		x := w.writings[id]
		if x == nil || x.key != key {
			w.fault("%s holds %q of %v, which nobody wrote", n.name, id, key)
			continue
		}
		if w.at > max(x.ends, n.cut)+endTolerance && !learns && !x.restarted && !x.late {
			x.late = true
			w.fault("%s still holds %s of %v, which ended at %v; it has %v left",
				n.name, id, key, x.ends, f.Left)
		}
		if id == before {
			continue
		}
		mayReturn := before == "" && (x.restarted || learns || w.ends(id))
		if n.over[key][id] && !mayReturn {
			w.fault("%s of %v came back on %s, which holds %q", id, key, n.name, before)
		}
		n.see(x)
	}
}

// mayEnd reports whether a node may stop to hold a writing: it has ended, or somebody who
// need not have known it deleted the fact, or wrote one that has ended.
func (w *controlWorld) mayEnd(x *writing) bool {
	if w.at >= x.ends-endTolerance || x.restarted {
		return true
	}
	for _, other := range w.writings {
		ended := other.delete || w.at >= other.ends-endTolerance
		if other != x && other.key == x.key && ended && !x.over[other.id] {
			return true
		}
	}
	return false
}

// checkAwaited looks at the commands that somebody waits for.
func (w *controlWorld) checkAwaited() {
	w.awaited = slices.DeleteFunc(w.awaited, func(a *awaited) bool {
		if !a.node.running || a.node.inc != a.inc {
			return true
		}
		if a.node.frozen > w.at {
			return false
		}
		outcome, complete := a.node.m.Outcome(a.id)
		if complete {
			w.completed++
			w.checkOutcome(a, outcome)
		} else if w.at < a.until {
			return false
		}
		a.node.m.Forget(a.id)
		return true
	})
}

// checkOutcome wants every node that is said to have applied a writing to know it, or
// what came after it.
func (w *controlWorld) checkOutcome(a *awaited, o control.Outcome) {
	for _, n := range w.nodes {
		if !slices.Contains(o.Applied, n.name) {
			if w.cfg.Peaceful && n.since < a.writing.at-30*time.Second {
				w.fault("%s is said to be applied everywhere, and not on %s", a.writing.id, n.name)
			}
			continue
		}
		if !n.running || n.frozen > w.at || n.since > a.writing.at {
			continue
		}
		id := ""
		if f, found := n.m.Fact(a.writing.key); found {
			id = writingOf(f)
		}
		if a.writing.over[id] || id == "" && !a.writing.delete && !w.mayEnd(a.writing) {
			w.fault("%s is said to be applied on %s, which holds %q", a.writing.id, n.name, id)
		}
	}
}

// onlyLog notes that no node runs that has listened for long: from now on the log alone
// knows the facts.
func (w *controlWorld) onlyLog() {
	for _, x := range w.writings {
		x.restarted = true
	}
}

// judge judges what all nodes know in the end.
func (w *controlWorld) judge() {
	for _, n := range w.nodes {
		w.judgeNodes(n)
		for _, p := range controlPlaces {
			w.judgePresence(n, p)
		}
		for _, key := range controlKeys {
			if one := w.nodes[0]; n.held[key] != one.held[key] && !w.ends(n.held[key]) && !w.ends(one.held[key]) {
				w.fault("%s and %s do not agree on %v: %q and %q",
					n.name, one.name, key, n.held[key], one.held[key])
			}
		}
		if s := n.m.Stats(); w.cfg.Peaceful && s.Deaths > 0 {
			w.fault("%s declared %d nodes dead, and nothing had happened to them", n.name, s.Deaths)
		}
		if !n.m.Ready() {
			w.fault("%s is not ready", n.name)
		}
	}
	if !w.silent {
		w.judgeEvents()
	}
	if len(w.faults) > 0 && w.cfg.Trace {
		w.faults = append(w.faults, w.story...)
	}
}

// ends reports whether a writing ends about now, so that nodes need not agree on it.
func (w *controlWorld) ends(id string) bool {
	x := w.writings[id]
	return x != nil && (x.ends-w.at).Abs() < endTolerance
}

func (w *controlWorld) judgeNodes(n *controlNode) {
	var want, got []string
	for _, one := range w.nodes {
		want = append(want, one.name+" "+one.inc)
	}
	for _, info := range n.m.Nodes(n.now()) {
		got = append(got, info.Name+" "+info.Incarnation)
		if !info.InStep {
			w.fault("%s is not in step with %s", n.name, info.Name)
		}
	}
	if !slices.Equal(got, want) {
		w.fault("%s knows the nodes %v; want %v", n.name, got, want)
	}
}

func (w *controlWorld) judgePresence(n *controlNode, p control.Place) {
	want, got := w.present(p), map[string]int{}
	page := n.m.Who(p, "", 1000)
	for _, u := range page.Users {
		got[u.User] = u.Sessions
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || page.Count != len(want) || !page.Complete {
		w.fault("%s sees %v (%d, complete %v) in %v; want %v",
			n.name, got, page.Count, page.Complete, p, want)
	}
}

// present returns who is in a place, with how many sessions.
func (w *controlWorld) present(p control.Place) map[string]int {
	all := map[string]int{}
	for _, u := range w.users {
		for i := range u.sessions {
			if s := &u.sessions[i]; s.attached() && slices.Contains(s.place, p) {
				all[u.name]++
			}
		}
	}
	return all
}

// judgeEvents wants the last event of each user and room to be true in the end, and
// nothing to be told twice unless a node was lost.
func (w *controlWorld) judgeEvents() {
	last, told := map[string]control.EventType{}, map[string]spokenEvent{}
	for _, e := range w.spoken {
		if before, twice := told[e.ID]; twice && w.cfg.Peaceful && w.cfg.Log && e.at > allStart {
			w.fault("%s of %q in %v was told by %s at %v, and again by %s at %v",
				e.Type, e.User, e.Place, before.by, before.at, e.by, e.at)
		}
		if _, twice := told[e.ID]; !twice { // whoever listens ignores an id that it knows
			last[fmt.Sprint(e.Place, e.User)] = e.Type
		}
		told[e.ID] = e
	}
	for _, p := range controlPlaces {
		present := w.present(p)
		if p.Room != "" {
			if got := last[fmt.Sprint(p, "")]; (got == control.Occupied) != (len(present) > 0) {
				w.fault("%v has %d users, and the last event is %q", p, len(present), got)
			}
			continue
		}
		for _, u := range w.users {
			if got := last[fmt.Sprint(p, u.name)]; (got == control.Online) != (present[u.name] > 0) {
				w.fault("%s has %d sessions in %v, and the last event is %q",
					u.name, present[u.name], p, got)
			}
		}
	}
}
