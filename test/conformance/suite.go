package conformance

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// Run checks a transport in one subtest for each case. It logs the report and
// also returns it. The cases run one after the other. Since each looks for
// goroutines that are left, no other test may run at the same time.
func Run(t *testing.T, h Harness) *Report {
	t.Helper()
	h = h.withDefaults()
	report := &Report{Name: h.Name, Claims: claims(t, h)}
	defer func() { t.Logf("%s", report) }()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.check(t, h, report) })
	}
	return report
}

// claims returns what the transport's drivers claim.
func claims(t testing.TB, h Harness) transport.Guarantees {
	t.Helper()
	d := h.Open(t)
	defer func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing a driver: %v", err)
		}
	}()
	return d.Guarantees()
}

// A testCase is one thing that is checked.
type testCase struct {
	name    string
	run     func(*run)
	applies func(transport.Guarantees) (bool, string) // nil: it applies to every transport
	hooks   func(Harness) (bool, string)              // nil: it needs no function of the harness
}

var cases = []testCase{
	{name: "Claims", run: checkClaims},
	{name: "FanOut", run: fanOut},
	{name: "Order", run: order},
	{name: "TotalOrder", run: totalOrder},
	{name: "FirstMessage", run: firstMessage},
	{name: "Faces", run: faces},
	{name: "SlowReader", run: slowReader},
	{name: "Content", run: content},
	{name: "Raw", run: raw},
	{name: "Untouched", run: untouched},
	{name: "Poison", run: poison},
	{name: "ForeignPoison", run: foreignPoison, hooks: hasPoison},
	{name: "Replay", run: replay, applies: toLogs},
	{name: "Since", run: since, applies: toLogs},
	{name: "Tail", run: tail, applies: toLogs},
	{name: "Stored", run: stored, applies: toLogs},
	{name: "Back", run: back, applies: toLogs},
	{name: "Seam", run: seam, applies: toLogs},
	{name: "Trim", run: trim, applies: toLogs, hooks: hasTrim},
	{name: "BackTrimmed", run: backTrimmed, applies: toLogs, hooks: hasTrim},
	{name: "Overtaken", run: overtaken, applies: toLogs, hooks: hasTrim},
	{name: "Recreate", run: recreate, applies: toLogs, hooks: hasRecreate},
	{name: "Stamps", run: stamps, applies: toNoLogs},
	{name: "Groups", run: groups},
	{name: "Cancel", run: cancel},
	{name: "Close", run: closing},
	{name: "CloseWhilePublishing", run: closeWhilePublishing},
	{name: "Cut", run: cut, hooks: hasCut},
	{name: "CutFeed", run: cutFeed, hooks: hasCut},
	{name: "Freeze", run: freeze, hooks: hasFreeze},
	{name: "CloseFrozen", run: closeFrozen, hooks: hasFreeze},
	{name: "Down", run: down, hooks: hasFreeze},
	{name: "Deaf", run: deaf, hooks: hasDeafen},
}

func toLogs(g transport.Guarantees) (bool, string) { return g.Log, "the transport claims no log" }
func toNoLogs(g transport.Guarantees) (bool, string) {
	return !g.Log, "a log needs no numbers: its positions are the proof"
}

func hasPoison(h Harness) (bool, string)   { return h.Poison != nil, "the harness has no Poison" }
func hasTrim(h Harness) (bool, string)     { return h.Trim != nil, "the harness has no Trim" }
func hasRecreate(h Harness) (bool, string) { return h.Recreate != nil, "the harness has no Recreate" }
func hasCut(h Harness) (bool, string) {
	return h.Cut != nil && h.Mend != nil, "the harness has no Cut and Mend"
}
func hasFreeze(h Harness) (bool, string) {
	return h.Freeze != nil && h.Thaw != nil, "the harness has no Freeze and Thaw"
}
func hasDeafen(h Harness) (bool, string) {
	return h.Deafen != nil && h.Thaw != nil, "the harness has no Deafen and Thaw"
}

// check runs a case, or skips it with the reason, and adds the result to the
// report.
func (c testCase) check(t testing.TB, h Harness, report *Report) {
	if c.applies != nil {
		if ok, why := c.applies(report.Claims); !ok {
			report.add(Result{c.name, Inapplicable, why})
			t.Skipf("does not apply: %s", why)
		}
	}
	if c.hooks != nil {
		if ok, why := c.hooks(h); !ok {
			report.add(Result{c.name, Unchecked, why})
			t.Skipf("NOT CHECKED: %s", why)
		}
	}
	if why, ok := h.Waive[c.name]; ok {
		report.add(Result{c.name, Waived, why})
		t.Skipf("WAIVED: %s", why)
	}
	r := newRun(t, h, report)
	defer func() {
		r.finish()
		outcome := Passed
		if t.Failed() {
			outcome = Failed
		}
		report.add(Result{c.name, outcome, ""})
	}()
	c.run(r)
}
