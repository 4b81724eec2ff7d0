package plane_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

func TestATopicThatIsRefusedIsSaidOnceAndTriedAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		refuse func(n *node, yes bool)
		words  string
	}{
		"reading": {func(n *node, yes bool) { n.refusesReads.Store(yes) }, "cannot be read"},
		"writing": {func(n *node, yes bool) { n.refusesWrites.Store(yes) }, "cannot be written"},
	} {
		t.Run(name, func(t *testing.T) {
			onBuses(t, func(t *testing.T, bus *faulty.Bus) {
				other := start(t, bus, "n1")
				time.Sleep(8 * time.Second)
				n := start(t, bus, "n2")
				tt.refuse(n, true)
				n.link.Part() // what it has begun already is over
				synctest.Wait()
				n.link.Heal()
				time.Sleep(time.Minute)
				if got := n.logs.count(tt.words); got != 1 {
					t.Errorf("said %d times in a minute", got)
				}
				if !strings.Contains(n.Trouble(), tt.words) || value(n, "control_up") != 0 || !n.Ready() {
					t.Errorf("trouble %q, up %v, ready %v", n.Trouble(), value(n, "control_up"), n.Ready())
				}
				if _, err := n.command(control.Block, "eve"); name == "writing" && !errors.Is(err, domain.ErrBusDown) {
					t.Errorf("a command: %v", err)
				}
				tt.refuse(n, false)
				time.Sleep(20 * time.Second)
				if n.Trouble() != "" || n.names() != "n1 n2" || other.names() != "n1 n2" || value(n, "control_up") != 1 {
					t.Errorf("afterwards: trouble %q, nodes %s and %s", n.Trouble(), n.names(), other.names())
				}
				if other.Check("eve", "", time.Time{}) == nil {
					t.Error("what was said meanwhile is lost")
				}
			})
		})
	}
}

// A right that is taken away while the node runs is noticed, too.
func TestATopicThatCannotBeReadAnyMoreIsShown(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		n := start(t, bus, "n1")
		time.Sleep(8 * time.Second)
		n.refusesReads.Store(true)
		bus.Interrupt()
		time.Sleep(20 * time.Second)
		if !strings.Contains(n.Trouble(), "cannot be read") || value(n, "control_up") != 0 {
			t.Errorf("trouble: %q", n.Trouble())
		}
		n.refusesReads.Store(false)
		time.Sleep(20 * time.Second)
		if n.Trouble() != "" {
			t.Errorf("afterwards: %q", n.Trouble())
		}
	})
}

// value returns a metric.
func value(n *node, name string) float64 {
	for _, m := range n.Metrics() {
		if m.Name == name {
			return m.Value()
		}
	}
	return -1
}

func TestANodeThatCannotReadTheTopicIsReadyInTime(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		n := start(t, bus, "n1")
		n.refusesReads.Store(true)
		time.Sleep(4900 * time.Millisecond)
		early := n.Ready()
		time.Sleep(200 * time.Millisecond)
		if early || !n.Ready() {
			t.Errorf("ready before 5 s: %v; after: %v", early, n.Ready())
		}
	})
}

func TestWhileTheBusIsDownNothingIsSaidOfTheTopic(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		bus.Set(func(f *faulty.Faults) { f.Down = true })
		n := start(t, bus, "n1")
		time.Sleep(time.Minute)
		if n.Trouble() != "" || n.logs.count("cannot be") > 0 {
			t.Errorf("trouble: %q", n.Trouble())
		}
		bus.Set(func(f *faulty.Faults) { f.Down = false })
		time.Sleep(4 * time.Second)
		if o, err := n.command(control.Block, "eve"); err != nil || len(o.Applied) != 1 {
			t.Errorf("%+v %v", o, err)
		}
	})
}

func TestMessagesThatNobodyCanReadAreCountedAndBounded(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two := start(t, bus, "n1"), start(t, bus, "n2")
		time.Sleep(8 * time.Second)
		for range 1000 {
			for _, text := range []string{"", "x", "{}", `{"v":1}`, `{"v":1,"node":7}`, strings.Repeat("[", 10_000)} {
				if _, err := publishOn(t.Context(), one.own, topic, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Second)
		if o, err := one.command(control.Disconnect, "alice"); err != nil || len(o.Applied) != 2 {
			t.Errorf("%+v %v", o, err)
		}
		refused := 0.0
		for _, m := range two.Metrics() {
			if m.Name == "control_refused_total" {
				for _, n := range m.Values() {
					refused += n
				}
			}
		}
		if lines := two.logs.count("not believed"); refused < 5000 || lines == 0 || lines > 5 || value(two, "control_panics_total") != 0 {
			t.Errorf("%v refused, %d lines, %v panics", refused, lines, value(two, "control_panics_total"))
		}
	})
}
