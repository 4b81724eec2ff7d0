package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

func withWebhooks(sum uint64) func(*control.Config, *node) {
	return func(cfg *control.Config, _ *node) { cfg.Webhooks = sum }
}

// posting returns the names of the living nodes that post.
func (w *world) posting() string {
	names := []string{}
	for _, n := range w.nodes {
		if !n.gone && !n.frozen && n.Posts() {
			names = append(names, n.name)
		}
	}
	return fmt.Sprint(names)
}

func (w *world) wantPosting(when, want string) {
	w.t.Helper()
	if got := w.posting(); got != want {
		w.t.Errorf("%s: %s post, want %s", when, got, want)
	}
}

// Of the nodes with the same webhooks one posts, also when nodes come, freeze, drain and die.
func TestOneOfTheNodesWithTheSameWebhooksPosts(t *testing.T) {
	for _, onLog := range []bool{false, true} {
		w := newWorld(t, 90)
		w.log = onLog
		w.add("other") // has none, and speaks
		a := w.add("a", withWebhooks(7))
		w.wantPosting("at the start", "[]")
		w.run(8 * time.Second)
		w.wantPosting("alone", "[other a]")
		b, c := w.add("b", withWebhooks(7)), w.add("c", withWebhooks(7))
		w.add("d", withWebhooks(8))
		w.run(15 * time.Second)
		w.wantPosting("with others", "[other a d]")

		a.SetStatus(a.clock(), control.Status{Draining: true})
		w.run(time.Second)
		w.wantPosting("while a drains", "[other b d]")
		a.kill()
		b.kill()
		w.run(5 * time.Second)
		w.wantPosting("before the death is noticed", "[other d]")
		w.run(25 * time.Second)
		w.wantPosting("after the death", "[other c d]")
		c.Leave(c.clock())
		w.wantPosting("after c has left", "[other d]")
	}
}

// A node that was frozen takes its turn back when it wakes up, and the others give it back.
func TestANodeThatWakesUpPostsAgain(t *testing.T) {
	w := newWorld(t, 91)
	a := w.add("a", withWebhooks(7))
	w.add("b", withWebhooks(7))
	w.run(10 * time.Second)
	w.wantPosting("first", "[a]")
	a.frozen = true
	w.run(30 * time.Second)
	w.wantPosting("while a is frozen", "[b]")
	a.frozen = false
	w.run(15 * time.Second)
	w.wantPosting("when it is back", "[a]")
}
