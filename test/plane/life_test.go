package plane_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

func TestANodeSaysThatItDrainsAndThatItHasEnded(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two, _ := three(t, bus)
		two.Attach(chat.System, "", "bob", 1)
		time.Sleep(time.Second)
		if got := one.users(); got != "bob" {
			t.Errorf("there: %s", got)
		}
		two.mu.Lock()
		two.status = control.Status{Draining: true, Sessions: 7}
		two.mu.Unlock()
		two.StatusChanged()
		time.Sleep(300 * time.Millisecond)
		i := slices.IndexFunc(one.Nodes(), func(o control.NodeInfo) bool { return o.Name == "n2" })
		if s := one.Nodes()[i].Status; !s.Draining || s.Sessions != 7 {
			t.Errorf("status: %+v", s)
		}
		two.stop()
		time.Sleep(50 * time.Millisecond)
		if got := one.names(); got != "n1 n3" {
			t.Errorf("nodes: %s", got)
		}
		carried := bus.Carried(topic)
		for i := len(carried) - 1; i >= 0; i-- {
			if text := string(carried[i].Payload); strings.Contains(text, `"node":"n2"`) {
				if !strings.Contains(text, `"bye":true`) {
					t.Errorf("its last message: %s", text)
				}
				break
			}
		}
		time.Sleep(control.DefaultGrace + time.Second/2)
		if got := one.users(); got != "" {
			t.Errorf("there: %s", got)
		}
	})
}

func TestANodeWaitsForItsSessionsBeforeItSaysThatItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{})
		defer bus.Close()
		one, two := start(t, bus, "n1"), start(t, bus, "n2")
		time.Sleep(8 * time.Second)
		two.cancel()
		time.Sleep(30 * time.Second)
		if got := one.names(); got != "n1 n2" {
			t.Errorf("nodes while sessions are left: %s", got)
		}
		if o, err := one.command(control.Disconnect, "alice"); err != nil || len(o.Applied) != 2 {
			t.Errorf("%+v %v", o, err)
		}
		two.stop()
		time.Sleep(50 * time.Millisecond)
		if got := one.names(); got != "n1" {
			t.Errorf("nodes: %s", got)
		}
	})
}

func TestTheEndIsBoundedWhateverTheBusDoes(t *testing.T) {
	for name, fault := range map[string]func(bus *faulty.Bus, n *node){
		"down":    func(bus *faulty.Bus, _ *node) { bus.Set(func(f *faulty.Faults) { f.Down = true }) },
		"known":   func(bus *faulty.Bus, _ *node) { bus.Set(func(f *faulty.Faults) { f.Down = true }) },
		"refuses": func(_ *faulty.Bus, n *node) { n.refusesWrites.Store(true) },
		"parted":  func(_ *faulty.Bus, n *node) { n.link.Part() },
	} {
		t.Run(name, func(t *testing.T) {
			onBuses(t, func(t *testing.T, bus *faulty.Bus) {
				n := start(t, bus, "n1")
				time.Sleep(3 * time.Second)
				fault(bus, n)
				most := plane.DefaultPublishTimeout + time.Second/5
				if name == "known" {
					time.Sleep(3 * time.Second)
					most = 0
				}
				close(n.end)
				n.cancel()
				began := time.Now()
				<-n.ran
				if took := time.Since(began); took > most {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestFactsOutliveAllNodesOnALog(t *testing.T) {
	for _, down := range []time.Duration{time.Second, 14 * time.Minute, 50 * time.Minute} {
		t.Run(down.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := faulty.New(faulty.Config{})
				defer bus.Close()
				one, two := start(t, bus, "n1"), start(t, bus, "n2")
				time.Sleep(8 * time.Second)
				k := control.Key{Kind: control.Block, Name: "eve"}
				if _, err := one.Command(t.Context(), k, control.Value{}, 24*time.Hour, false, time.Second); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Hour) // longer than the log is kept
				one.stop()
				two.stop()
				time.Sleep(down)
				later := start(t, bus, "n3")
				time.Sleep(time.Second)
				if !later.Ready() || later.Check("eve", "", time.Time{}) == nil {
					t.Errorf("ready %v, and eve is let in", later.Ready())
				}
			})
		})
	}
}

// What a log holds of a node that is gone does not bring it back.
func TestNobodyIsAliveBecauseOfTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{})
		defer bus.Close()
		one, two := start(t, bus, "n1"), start(t, bus, "n2")
		one.Attach(chat.System, "", "alice", 1)
		time.Sleep(8 * time.Second)
		one.link.Part()
		time.Sleep(time.Second)
		three := start(t, bus, "n3")
		time.Sleep(8 * time.Second)
		if got := three.names(); got != "n2 n3" || three.users() != "" || !three.Ready() {
			t.Errorf("nodes: %s, users: %s", got, three.users())
		}
		if got := two.names(); got != "n1 n2 n3" {
			t.Errorf("a node that was heard 9 s ago counts as dead: %s", got)
		}
	})
}

func TestANodeWithoutALogHasTheFactsBeforeItIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{Lossy: true})
		defer bus.Close()
		one := start(t, bus, "n1")
		if one.Ready() {
			t.Error("ready at once")
		}
		time.Sleep(3 * time.Second)
		for i := range 500 {
			k := control.Key{Kind: control.Block, Name: fmt.Sprintf("a-rather-long-name-of-a-user-%d", i)}
			if _, err := one.Command(t.Context(), k, control.Value{Reason: "spam"}, time.Hour, false, time.Nanosecond); err != nil {
				t.Fatal(err)
			}
			if i%100 == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		later := start(t, bus, "n2")
		for began := time.Now(); !later.Ready(); time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 4*time.Second {
				t.Fatal("not ready after 4 s")
			}
		}
		for i := range 500 {
			if later.Check(fmt.Sprintf("a-rather-long-name-of-a-user-%d", i), "", time.Time{}) == nil {
				t.Fatalf("ready, and user %d is let in", i)
			}
		}
	})
}

func TestAnInterruptionLosesNobody(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two, three := three(t, bus)
		for round := range 5 {
			one.Attach(chat.System, "", fmt.Sprint("a", round), 1)
			bus.Interrupt()
			two.Attach(chat.System, "", fmt.Sprint("b", round), 1)
			time.Sleep(150 * time.Millisecond)
		}
		time.Sleep(15 * time.Second)
		want := "a0 a1 a2 a3 a4 b0 b1 b2 b3 b4"
		for _, n := range []*node{one, two, three} {
			if got := n.users(); got != want || n.names() != "n1 n2 n3" {
				t.Errorf("there: %s, nodes %s", got, n.names())
			}
		}
	})
}

// Everything may be called at any time by anybody.
func TestCallsOfManyGoroutines(t *testing.T) {
	bus := faulty.New(faulty.Config{})
	defer bus.Close()
	one, two := start(t, bus, "n1"), start(t, bus, "n2")
	var work sync.WaitGroup
	for g := range 8 {
		work.Go(func() {
			for i := range 50 {
				user := fmt.Sprint("u", g, "-", i)
				n := []*node{one, two}[i%2]
				n.Attach(chat.System, "", user, 1)
				n.Watch(chat)
				k := control.Key{Kind: control.Membership, System: "chat", Room: "lobby", Name: user}
				if _, err := n.Command(t.Context(), k, control.Value{}, time.Minute, i%7 == 0, time.Duration(i%2)*time.Second); err != nil {
					t.Error(err)
				}
				_ = n.Check(user, "x", time.Now())
				n.Rooms(user, chat.System)
				n.Who(chat, 10)
				n.Nodes()
				n.Metrics()[1].Value()
				n.StatusChanged()
				n.SetBusUp(true)
				n.Unwatch(chat)
			}
		})
	}
	work.Wait()
	deadline := time.Now().Add(20 * time.Second)
	for len(two.Members(chat.System, "lobby", "", 1000)) < 300 || len(one.users()) != len(two.users()) {
		if time.Now().After(deadline) {
			t.Fatalf("%d members; %d and %d", len(two.Members(chat.System, "lobby", "", 1000)), len(one.users()), len(two.users()))
		}
		<-time.After(20 * time.Millisecond)
	}
}
