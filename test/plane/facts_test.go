package plane_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

// stranger puts blocks of users on the topic as if another node said them.
func stranger(t *testing.T, n *node, users int) {
	t.Helper()
	at := time.Now().UnixMilli()
	for first := 0; first < users; first += 500 {
		var b bytes.Buffer
		fmt.Fprintf(&b, `{"v":1,"node":"x","inc":"01X","seq":%d,"at":%d,"facts":[`, first+1, at)
		for i := first; i < min(first+500, users); i++ {
			fmt.Fprintf(&b, `{"k":["block","user-%d"],"until":%d,"ver":[%d,1,"01X"]},`, i, at+3_600_000, at)
		}
		b.Truncate(b.Len() - 1)
		b.WriteString("]}")
		if _, err := n.PublishRaw(t.Context(), topic, b.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
}

// Many facts may take longer than a node waits in other cases. It waits for them as long as
// they come, so that nobody gets in who is blocked.
func TestANodeWaitsForManyFacts(t *testing.T) {
	const manyFacts = 20_000
	short := func(cfg *plane.Config) { cfg.ReadyWithin = time.Second }
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{Lossy: true})
		defer bus.Close()
		one := start(t, bus, "n1")
		time.Sleep(3 * time.Second)
		stranger(t, one, manyFacts)
		time.Sleep(10 * time.Second)
		if n := value(one, "control_facts"); n != manyFacts {
			t.Fatalf("%v facts are known", n)
		}
		sent := value(one, "control_sent_total")
		later := start(t, bus, "n2", short)
		for began := time.Now(); !later.Ready(); time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 4*time.Second {
				t.Fatal("not ready after 4 s")
			}
		}
		if n := value(later, "control_facts"); n != manyFacts {
			t.Errorf("ready with %v facts", n)
		}
		if n := value(one, "control_sent_total") - sent; n > manyFacts/300 {
			t.Errorf("%v messages were sent", n)
		}
	})
}

// Sessions are told that a membership, whose time is over, has ended, on all nodes; and a
// block whose time is over lets the user in again.
func TestFactsThatEndByThemselvesReachSessions(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two, three := three(t, bus)
		member := control.Key{Kind: control.Membership, System: "chat", Room: "lobby", Name: "bob"}
		block := control.Key{Kind: control.Block, Name: "eve"}
		for _, k := range []control.Key{member, block} {
			if _, err := one.Command(t.Context(), k, control.Value{}, 3*time.Second, false, time.Second); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range []*node{one, two, three} {
			if got := n.done(); got != "review bob, review eve" || n.Check("eve", "", time.Time{}) == nil {
				t.Errorf("at first: %s", got)
			}
		}
		time.Sleep(4 * time.Second)
		for _, n := range []*node{one, two, three} {
			got := n.done()
			if got != "review bob, review eve, review bob" || n.Rooms("bob", chat.System) != nil {
				t.Errorf("after the end: %s", got)
			}
			if err := n.Check("eve", "", time.Time{}); err != nil {
				t.Errorf("after the end: %v", err)
			}
		}
	})
}
