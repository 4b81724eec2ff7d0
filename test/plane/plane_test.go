package plane_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

// onBuses runs a test on a bus with a log, and on one without.
func onBuses(t *testing.T, test func(t *testing.T, bus *faulty.Bus)) {
	for name, lossy := range map[string]bool{"log": false, "lossy": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := faulty.New(faulty.Config{Lossy: lossy})
				t.Cleanup(func() { bus.Close() })
				test(t, bus)
			})
		})
	}
}

// three starts three nodes, and waits until they know each other.
func three(t *testing.T, bus *faulty.Bus, change ...func(*plane.Config)) (one, two, three *node) {
	t.Helper()
	one, two, three = start(t, bus, "n1", change...), start(t, bus, "n2", change...), start(t, bus, "n3", change...)
	time.Sleep(8 * time.Second)
	for _, n := range []*node{one, two, three} {
		if got := n.names(); got != "n1 n2 n3" || !n.Ready() {
			t.Fatalf("nodes: %s, ready %v", got, n.Ready())
		}
	}
	return one, two, three
}

func TestACommandIsDoneOnAllNodesBeforeItsOutcomeSaysSo(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two, three := three(t, bus)
		began := time.Now()
		o, err := two.command(control.Disconnect, "alice")
		if took := time.Since(began); err != nil || took > time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if o.ID == "" || !slices.Equal(o.Applied, []string{"n1", "n2", "n3"}) || len(o.Pending) > 0 {
			t.Errorf("outcome: %+v", o)
		}
		for _, n := range []*node{one, two, three} {
			if got := n.done(); got != "disconnect alice why" {
				t.Errorf("did: %s", got)
			}
			if n.logs.count("command="+o.ID+" kind=disconnect name=alice sessions=1") != 1 {
				t.Error("the log does not say which command has closed sessions")
			}
		}
	})
}

func TestEachKindOfFactHasItsEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{})
		defer bus.Close()
		n := start(t, bus, "n1")
		time.Sleep(time.Second)
		for _, kind := range []control.Kind{control.Block, control.RevokeToken, control.RevokeUser, control.DisconnectSession} {
			if _, err := n.command(kind, string(kind)); err != nil {
				t.Error(err)
			}
		}
		member := control.Key{Kind: control.Membership, System: "chat", Room: "lobby", Name: "bob"}
		if o, err := n.Command(t.Context(), member, control.Value{}, time.Minute, false, 0); err != nil || o.Applied != nil {
			t.Errorf("%+v %v", o, err)
		}
		want := "review block, review token revoke_token, review revoke_user, disconnect session disconnect_session, review bob"
		if got := n.done(); got != want {
			t.Errorf("did %s, want %s", got, want)
		}
		var refusal *control.Refusal
		if err := n.Check("block", "", time.Time{}); !errors.As(err, &refusal) || refusal.Reason != "why" {
			t.Errorf("Check: %v", err)
		}
		if _, blocked := n.Blocked("block"); !blocked {
			t.Error("not blocked")
		}
		if _, is := n.Member(chat.System, "lobby", "bob"); !is || len(n.Members(chat.System, "lobby", "", 10)) != 1 {
			t.Error("no member")
		}
		if got := n.Rooms("bob", chat.System); !slices.Equal(got, []string{"lobby"}) {
			t.Errorf("rooms: %v", got)
		}
		if _, err := n.Command(t.Context(), member, control.Value{}, 0, true, time.Second); err != nil {
			t.Error(err)
		}
		if got := n.Rooms("bob", chat.System); got != nil {
			t.Errorf("rooms: %v", got)
		}
	})
}

func TestANodeThatHearsNothingIsPendingAndAppliesLater(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, _, three := three(t, bus)
		three.link.Part()
		began := time.Now()
		o, err := one.command(control.Disconnect, "alice")
		if took := time.Since(began); err != nil || took < 2*time.Second || took > 2*time.Second+time.Second/2 {
			t.Errorf("after %v: %v", took, err)
		}
		if !slices.Equal(o.Applied, []string{"n1", "n2"}) || !slices.Equal(o.Pending, []string{"n3"}) {
			t.Errorf("outcome: %+v", o)
		}
		three.link.Heal()
		time.Sleep(20 * time.Second)
		if got := three.done(); got != "disconnect alice why" {
			t.Errorf("did: %s", got)
		}
	})
}

func TestACommandThatTheBusDoesNotTakeHoldsHereAndIsTriedAgain(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two, _ := three(t, bus)
		bus.Set(func(f *faulty.Faults) { f.Down = true })
		time.Sleep(3 * time.Second)
		began := time.Now()
		o, err := one.command(control.Block, "eve")
		if took := time.Since(began); !errors.Is(err, domain.ErrBusDown) || took > 1200*time.Millisecond {
			t.Errorf("after %v: %v", took, err)
		}
		if o.ID == "" || one.Check("eve", "", time.Time{}) == nil || one.done() != "review eve" {
			t.Errorf("outcome %+v, did %s", o, one.done())
		}
		bus.Set(func(f *faulty.Faults) { f.Down = false })
		time.Sleep(10 * time.Second)
		if two.Check("eve", "", time.Time{}) == nil || two.names() != "n1 n2 n3" {
			t.Errorf("not blocked elsewhere; nodes %s", two.names())
		}
	})
}

func TestCommandsThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{})
		defer bus.Close()
		one, two := start(t, bus, "n1"), start(t, bus, "n2")
		time.Sleep(8 * time.Second)
		two.link.Deafen() // it is alive, but hears nothing
		began := time.Now()
		results := make(chan error, plane.MaxWaits+1)
		for i := range plane.MaxWaits {
			go func() {
				k := control.Key{Kind: control.Disconnect, Name: fmt.Sprint("u", i)}
				_, err := one.Command(t.Context(), k, control.Value{}, time.Minute, false, time.Hour)
				results <- err
			}()
		}
		time.Sleep(time.Second)
		if _, err := one.command(control.Disconnect, "alice"); !errors.Is(err, domain.ErrLimit) {
			t.Errorf("one too many: %v", err)
		}
		for range plane.MaxWaits {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took < plane.MaxWait || took > plane.MaxWait+time.Second {
			t.Errorf("they waited %v", took)
		}
		if _, err := one.command(control.Disconnect, "alice"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestACommandEndsWithItsContextAndWithTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{})
		defer bus.Close()
		one, two := start(t, bus, "n1"), start(t, bus, "n2")
		time.Sleep(8 * time.Second)
		two.link.Deafen()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		k := control.Key{Kind: control.Disconnect, Name: "alice"}
		o, err := one.Command(ctx, k, control.Value{}, time.Minute, false, 10*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) || !slices.Equal(o.Pending, []string{"n2"}) {
			t.Errorf("%+v %v", o, err)
		}
		if _, err := one.Command(t.Context(), control.Key{Kind: "x", Name: "y"}, control.Value{}, 1, false, 0); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("an unknown kind: %v", err)
		}
		type result struct {
			control.Outcome
			error
		}
		ended := make(chan result, 1)
		go func() {
			o, err := one.Command(t.Context(), k, control.Value{}, time.Minute, false, 20*time.Second)
			ended <- result{o, err}
		}()
		time.Sleep(time.Second)
		one.stop()
		if r := <-ended; r.error != nil || !slices.Equal(r.Pending, []string{"n2"}) {
			t.Errorf("at the end: %+v", r)
		}
		if _, err := one.command(control.Disconnect, "alice"); !errors.Is(err, domain.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestWithoutPresenceNothingIsSaidButHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{})
		defer bus.Close()
		n := start(t, bus, "n1", func(c *plane.Config) { c.Control.Presence = nil })
		time.Sleep(10 * time.Second)
		before := len(bus.Carried(topic))
		for i := range 1000 {
			n.Attach(chat.System, "", fmt.Sprint("user", i), 1)
			time.Sleep(50 * time.Millisecond)
		}
		if said := len(bus.Carried(topic)) - before; said < 8 || said > 12 {
			t.Errorf("%d messages in 50 s, want one in 5 s", said)
		}
		if _, err := n.Presence(chat, "", 10); !errors.Is(err, domain.ErrUnsupported) {
			t.Errorf("Presence: %v", err)
		}
		if _, _, err := n.Find(chat, []string{"user1"}); !errors.Is(err, domain.ErrUnsupported) {
			t.Errorf("Find: %v", err)
		}
	})
}

func TestAStormOfUsersIsFewMessages(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two := start(t, bus, "n1"), start(t, bus, "n2")
		time.Sleep(8 * time.Second)
		before := countOf(bus, "n1")
		for i := range 10_000 {
			one.Attach(chat.System, "", fmt.Sprintf("user-%05d", i), 1)
			time.Sleep(5 * time.Second / 10_000)
		}
		said := countOf(bus, "n1") - before
		time.Sleep(time.Second)
		if said > 60 {
			t.Errorf("%d messages for 10,000 users in 5 s", said)
		}
		page, err := two.Presence(chat, "user-00099", 2)
		if err != nil || page.Count != 10_000 || !page.Complete || page.Users[0].User != "user-00100" {
			t.Errorf("there are %+v, %v", page, err)
		}
		found, complete, err := two.Find(chat, []string{"user-00007", "nobody"})
		if err != nil || !complete || len(found) != 1 || found[0].User != "user-00007" || found[0].Sessions != 1 {
			t.Errorf("found %+v %v %v", found, complete, err)
		}
		t.Logf("%d messages", said)
	})
}

// countOf returns how many messages of a node the control topic has carried.
func countOf(bus *faulty.Bus, node string) (n int) {
	for _, m := range bus.Carried(topic) {
		if strings.Contains(string(m.Payload), `"node":"`+node+`"`) {
			n++
		}
	}
	return n
}

func TestChangesAreToldOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{})
		defer bus.Close()
		one, two := start(t, bus, "n1"), start(t, bus, "n2")
		time.Sleep(8 * time.Second)
		two.Watch(chat)
		for i := range 30 {
			one.Attach(chat.System, "", fmt.Sprintf("user-%02d", i), 1)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		two.Unwatch(chat)
		one.Attach(chat.System, "", "late", 1)
		time.Sleep(5 * time.Second)
		two.mu.Lock()
		defer two.mu.Unlock()
		joined := 0
		for _, c := range two.changes {
			joined += len(c.Joined)
		}
		if last := two.changes[len(two.changes)-1]; joined != 30 || last.Count != 30 || len(two.changes) > 5 {
			t.Errorf("%d changes, %d joined: %+v", len(two.changes), joined, last)
		}
		if one.Who(chat, 0).Count != 31 {
			t.Error("one of the users is missing")
		}
	})
}
