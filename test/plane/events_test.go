package plane_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain/cloudevent"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

// speaking makes events for chat and shop.
func speaking(c *plane.Config) {
	c.Control.Presence = only("chat", "shop")
	c.Control.Events = only("chat", "shop")
}

// told returns the events that a topic has carried: type and subject, and how many of them
// came again.
func told(t *testing.T, bus *faulty.Bus, system string) (events []string, again int) {
	t.Helper()
	seen := make(map[string]bool)
	for _, m := range bus.Carried("fanfare." + system + ".events") {
		if strings.Contains(string(m.Payload), `"mark":true`) {
			continue // of the transport
		}
		e, err := cloudevent.Parse(m.Payload)
		if err != nil {
			t.Fatalf("%s: %v", m.Payload, err)
		}
		if who, err := cloudevent.ParsePresence(e.Data); err != nil || who.System != system {
			t.Fatalf("%s: %v", m.Payload, err)
		}
		if seen[e.ID] {
			again++
			continue
		}
		seen[e.ID] = true
		events = append(events, strings.TrimPrefix(e.Type, "fanfare.")+" "+e.Subject)
	}
	return events, again
}

func TestOneNodeTellsServicesWhoComesAndGoes(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two, three := three(t, bus, speaking)
		lobby := control.Place{System: chat.System, Room: "lobby"}
		three.Attach(chat.System, "", "carol", 1)
		time.Sleep(time.Second)
		two.Attach(chat.System, "", "bob", 1)
		two.Attach(chat.System, lobby.Room, "bob", 1)
		one.Attach(chat.System, "", "bob", 1)
		time.Sleep(time.Second)
		one.Attach(chat.System, "", "bob", -1)
		time.Sleep(5 * time.Second)
		two.Attach(chat.System, lobby.Room, "bob", -1)
		two.Attach(chat.System, "", "bob", -1)
		time.Sleep(5 * time.Second)
		events, again := told(t, bus, "chat")
		want := "user.online carol, user.online bob, room.occupied lobby, room.vacated lobby, user.offline bob"
		other := "user.online carol, user.online bob, room.occupied lobby, user.offline bob, room.vacated lobby"
		if got := strings.Join(events, ", "); got != want && got != other || again > 0 {
			t.Errorf("%d again; told %s", again, got)
		}
		sum := value(one, "events_published_total") + value(two, "events_published_total") + value(three, "events_published_total")
		if sum != 5 {
			t.Errorf("%v published", sum)
		}
	})
}

func TestEventsWaitForTheBusInTheirOrder(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		n := start(t, bus, "n1", speaking)
		time.Sleep(5 * time.Second)
		bus.Set(func(f *faulty.Faults) { f.Down = true })
		for i := range 500 {
			n.Attach(chat.System, "", fmt.Sprintf("user-%03d", i), 1)
			time.Sleep(20 * time.Millisecond)
		}
		bus.Set(func(f *faulty.Faults) { f.Down = false })
		time.Sleep(10 * time.Second)
		events, _ := told(t, bus, "chat")
		if len(events) != 500 {
			t.Fatalf("%d events", len(events))
		}
		for i, e := range events {
			if want := fmt.Sprintf("user.online user-%03d", i); e != want {
				t.Fatalf("event %d: %s, want %s", i, e, want)
			}
		}
	})
}

func TestATopicOfEventsThatIsRefusedHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{})
		defer bus.Close()
		n := start(t, bus, "n1", speaking)
		time.Sleep(5 * time.Second)
		n.refusesEvents.Store(true)
		for i := range 30 {
			n.Attach(chat.System, "", fmt.Sprint("a", i), 1)
			n.Attach(system("shop"), "", fmt.Sprint("b", i), 1)
			time.Sleep(time.Second)
		}
		if events, _ := told(t, bus, "shop"); len(events) < 29 {
			t.Errorf("%d events of the other system", len(events))
		}
		if lines := n.logs.count("events of a system cannot be published"); lines != 1 || value(n, "events_dropped_total") < 20 {
			t.Errorf("%d lines, %v dropped", lines, value(n, "events_dropped_total"))
		}
		n.refusesEvents.Store(false)
		n.Attach(chat.System, "", "last", 1)
		time.Sleep(5 * time.Second)
		if events, _ := told(t, bus, "chat"); len(events) == 0 || events[len(events)-1] != "user.online last" {
			t.Errorf("afterwards: %v", events)
		}
		if n.Trouble() != "" {
			t.Errorf("trouble: %s", n.Trouble())
		}
	})
}

func TestAnotherNodeSpeaksForOneThatHasDied(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two, three := three(t, bus, speaking)
		one.Attach(chat.System, "", "alice", 1)
		two.Attach(chat.System, "", "bob", 1)
		time.Sleep(2 * time.Second)
		one.link.Part() // it has the smallest incarnation
		two.Attach(chat.System, "", "carol", 1)
		time.Sleep(40 * time.Second)
		events, again := told(t, bus, "chat")
		got := strings.Join(events, ", ")
		for _, want := range []string{"user.online alice", "user.online bob", "user.online carol", "user.offline alice"} {
			if strings.Count(got, want) != 1 {
				t.Errorf("told %s", got)
			}
		}
		if again > 4 || three.users() != "bob carol" {
			t.Errorf("%d came again; there: %s", again, three.users())
		}
	})
}
