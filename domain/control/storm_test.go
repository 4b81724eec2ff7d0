package control_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

// truth is what a world ought to know.
type truth struct {
	w       *world
	users   map[*node]map[string]int // sessions
	blocked map[string]bool
}

func (w *world) living() (all []*node) {
	for _, n := range w.nodes {
		if !n.gone && !n.frozen {
			all = append(all, n)
		}
	}
	return all
}

// act does something at random.
func (tr *truth) act() {
	w := tr.w
	living := w.living()
	n := living[w.rnd.IntN(len(living))]
	user := fmt.Sprint("u", w.rnd.IntN(40))
	switch x := w.rnd.IntN(100); {
	case x < 50:
		n.attach(user, 1)
		tr.users[n][user]++
	case x < 80:
		if tr.users[n][user] > 0 {
			n.attach(user, -1)
			tr.users[n][user]--
		}
	case x < 88:
		n.block(n.name+user, time.Hour) // which only this node writes, so that it is clear what counts
		tr.blocked[n.name+user] = true
	case x < 95:
		if _, err := n.Delete(n.clock(), control.Key{Kind: control.Block, Name: n.name + user}, false); err != nil {
			w.t.Error(err)
		}
		tr.blocked[n.name+user] = false
	case x < 96 && len(living) > 2:
		n.frozen = true
	case x < 97:
		for _, n := range w.nodes {
			n.frozen = false
		}
	case x < 98 && len(living) > 2:
		w.up, w.lose = true, 0
		w.run(15 * time.Second) // what it knows is known elsewhere
		n.kill()
		delete(tr.users, n)
	case x < 99 && len(w.nodes) < 9:
		skew := time.Duration(w.rnd.IntN(1200)-600) * time.Second
		tr.users[w.add(fmt.Sprint("n", len(w.nodes)), skewed(skew))] = make(map[string]int)
	case x < 100:
		n.skew = time.Duration(w.rnd.IntN(1200)-600) * time.Second
	}
}

// check compares what the nodes know with what is true.
func (tr *truth) check() {
	w := tr.w
	w.t.Helper()
	present := make(map[string]bool)
	var names []string
	for n, users := range tr.users {
		names = append(names, n.name)
		for user, sessions := range users {
			if sessions > 0 {
				present[user] = true
			}
		}
	}
	slices.Sort(names)
	w.wantNodes(names...)
	w.wantPresent(slices.Sorted(maps.Keys(present))...)
	for user, is := range tr.blocked {
		w.wantBlocked(user, is)
	}
}

// TestAfterAStormAllNodesKnowTheSame lets worlds run in which everything goes wrong that
// may, and looks at them when it has been quiet for a while.
func TestAfterAStormAllNodesKnowTheSame(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		for _, log := range []bool{true, false} {
			t.Run(fmt.Sprint(seed, " log=", log), func(t *testing.T) {
				w := newWorld(t, seed)
				w.log = log
				tr := &truth{w: w, users: map[*node]map[string]int{}, blocked: map[string]bool{}}
				for i := range 3 {
					tr.users[w.add(fmt.Sprint("n", i))] = make(map[string]int)
				}
				w.run(5 * time.Second)
				for range 3 {
					w.lose, w.repeat, w.delay = 0.2*w.rnd.Float64(), 0.2, 400*time.Millisecond
					for range 150 {
						tr.act()
						w.run(time.Duration(w.rnd.IntN(5)) * step)
						w.up = w.rnd.IntN(20) > 0
					}
					w.up, w.lose, w.repeat, w.delay = true, 0, 0, 20*time.Millisecond
					for _, n := range w.nodes {
						n.frozen = false
					}
					w.run(70 * time.Second)
					tr.check()
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}
