package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

// told returns what was published of a user, once for each id and without what changes
// nothing, and how often in all.
func (w *world) told(user string) (types string, times int) {
	seen := make(map[string]bool)
	var all []string
	for _, n := range w.nodes {
		for _, e := range n.events {
			if e.User != user {
				continue
			}
			times++
			what := strings.TrimPrefix(string(e.Type), "fanfare.user.")
			if !seen[e.ID] && (len(all) == 0 || all[len(all)-1] != what) {
				all = append(all, what)
			}
			seen[e.ID] = true
		}
	}
	return fmt.Sprint(all), times
}

func (w *world) wantTold(user, want string, most int) {
	w.t.Helper()
	if got, times := w.told(user); got != want || times > most {
		w.t.Errorf("of %s the world was told %s in %d events, want %s in at most %d", user, got, times, want, most)
	}
}

func TestOneNodeSpeaksForAll(t *testing.T) {
	w := newWorld(t, 60)
	w.add("a").attach("early", 1)
	b := w.add("b")
	w.run(5 * time.Second)
	b.attach("bob", 1)
	w.run(time.Second)
	b.attach("bob", -1)
	w.run(control.DefaultGrace + 2*step)
	w.wantTold("early", "[online]", 1)
	w.wantTold("bob", "[online offline]", 2)
	for _, n := range w.nodes[1:] {
		if len(n.events) > 0 {
			t.Errorf("%s speaks, too: %v", n.name, n.events)
		}
	}
}

func TestWhenTheSpeakerDiesNothingIsLost(t *testing.T) {
	w := newWorld(t, 61)
	a := w.add("a")
	b := w.add("b")
	w.add("c")
	a.attach("alice", 1)
	w.run(8 * time.Second)
	a.kill()
	w.run(5 * time.Second)
	b.attach("bob", 1) // while nobody speaks
	w.run(20 * time.Second)
	w.wantTold("alice", "[online offline]", 3)
	w.wantTold("bob", "[online]", 1)
	c := w.nodes[2]
	b.Leave(b.clock())
	w.run(300 * time.Millisecond)
	b.kill()
	c.attach("carol", 1)
	w.run(5 * time.Second)
	w.wantTold("bob", "[online offline]", 4)
	w.wantTold("carol", "[online]", 1)
}

func TestASpeakerThatWasFrozenTellsNothingOld(t *testing.T) {
	w := newWorld(t, 62)
	a, b := w.add("a"), w.add("b")
	w.add("c")
	a.attach("alice", 1)
	b.attach("bob", 1)
	w.run(8 * time.Second)
	a.frozen = true
	w.run(60 * time.Second)
	b.attach("bob", -1)
	w.run(20 * time.Second)
	w.wantTold("alice", "[online offline]", 3)
	a.frozen = false
	w.run(20 * time.Second)
	w.wantTold("alice", "[online offline online]", 5)
	w.wantTold("bob", "[online offline]", 3)
}

func TestWhatASpeakerCouldNotPublishTheNextOneDoes(t *testing.T) {
	w := newWorld(t, 63)
	a := w.add("a")
	b := w.add("b")
	w.run(8 * time.Second)
	a.dumb = true
	b.attach("bob", 1)
	w.run(20 * time.Second)
	w.wantTold("bob", "[]", 0)
	a.kill()
	w.run(20 * time.Second)
	w.wantTold("bob", "[online]", 1)
}
