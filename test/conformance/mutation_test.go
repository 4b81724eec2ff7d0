package conformance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/conformance"
)

// Sound drivers pass the suite, with every fault that it can cause.
func TestASoundDriverPasses(t *testing.T) {
	t.Run("with a log", func(t *testing.T) {
		passes(t, newWire().harness(func(d *wireDriver) transport.Driver { return d }))
	})
	t.Run("without a log", func(t *testing.T) {
		w := newWire()
		h := w.harness(func(d *wireDriver) transport.Driver { return lossyDriver{d} })
		h.Deafen = func() { w.deafen(); w.drop() } // its feeds notice that they hear nothing
		passes(t, h)
	})
	t.Run("a mutant that does nothing", func(t *testing.T) {
		h := newWire().harness(func(d *wireDriver) transport.Driver {
			return &mutant{wireDriver: d, read: func(_ *mutantFeed, b []domain.Entry, err error) ([]domain.Entry, error) { return b, err }}
		})
		h.Waive = map[string]string{"Freeze": "slow", "Down": "slow", "Deaf": "slow"}
		passes(t, h)
	})
}

func passes(t *testing.T, h conformance.Harness) {
	t.Helper()
	report := conformance.Run(t, h)
	for _, r := range report.Results {
		if r.Outcome != conformance.Passed && r.Outcome != conformance.Inapplicable && r.Outcome != conformance.Waived {
			t.Errorf("%s: %s", r.Case, r.Outcome)
		}
	}
}

// Faulty drivers fail the suite: each mutation fails the case that is meant for it,
// and for the right reason.
func TestBrokenDriversAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the suite on more than forty broken drivers: left out with -short; `make test` runs it")
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			found := m.look(t, time.Second)
			if !strings.Contains(found.String(), m.saying) { // a busy machine?
				found = m.look(t, 5*time.Second)
			}
			switch {
			case found.Skipped():
				t.Fatalf("%s did not run: %v", m.caught, found.skips)
			case !strings.Contains(found.String(), m.saying):
				t.Errorf("%s did not say %q, but: %s", m.caught, m.saying, found)
			}
		})
	}
}

// look runs the case that is to catch the mutation.
func (m mutation) look(t *testing.T, patience time.Duration) *recorder {
	w := newWire()
	defer close(w.over)
	h := w.harness(m.make)
	h.Patience = patience
	return record(t, func(t testing.TB) {
		if conformance.Check(t, h, m.caught) == nil {
			t.Skip("there is no such case")
		}
	})
}

// A client library may reconnect by itself if the harness declares it. The report
// then says what is lost unnoticed.
func TestWhatStaysUnnoticedIsReported(t *testing.T) {
	h := newWire().harness(func(d *wireDriver) transport.Driver { return silent{lossyDriver{d}} })
	h.HidesCuts = true
	for _, name := range []string{"CutFeed", "Cut"} {
		var report *conformance.Report
		found := record(t, func(t testing.TB) { report = conformance.Check(t, h, name) })
		if found.Failed() {
			t.Errorf("%s: %s", name, found)
		}
		if told := strings.Contains(report.String(), "cannot:          tell of an interruption"); told != (name == "Cut") {
			t.Errorf("%s reports: %s", name, report)
		}
	}
}

func TestWhatTheHarnessCannotDoIsSaidLoudly(t *testing.T) {
	w := newWire()
	h := conformance.Harness{Open: func(testing.TB) transport.Driver { return w.bus.Driver() }}
	for _, name := range []string{"Cut", "CutFeed", "Freeze", "Trim", "Overtaken", "Recreate", "ForeignPoison"} {
		found := record(t, func(t testing.TB) { conformance.Check(t, h, name) })
		if !found.Skipped() || !strings.HasPrefix(found.skips[0], "NOT CHECKED: the harness has no ") {
			t.Errorf("%s: skipped with %q", name, found.skips)
		}
	}
}

// A driver that does more than it claims does not fail. The report mentions it.
func TestWhatADriverDoesBeyondItsClaimsIsReported(t *testing.T) {
	h := newWire().harness(func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, guarantees: func(transport.Guarantees) transport.Guarantees { return transport.Guarantees{} }}
	})
	for name, want := range map[string]string{
		"Claims":     "it is a transport.LogDriver",
		"TotalOrder": "in one order this time",
		"Groups":     "consumer groups work",
	} {
		var report *conformance.Report
		found := record(t, func(t testing.TB) { report = conformance.Check(t, h, name) })
		if found.Failed() || !strings.Contains(report.String(), "beyond claims:   ") || !strings.Contains(report.String(), want) {
			t.Errorf("%s: %s\n%s", name, found, report)
		}
	}
}
