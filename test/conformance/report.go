package conformance

import (
	"fmt"
	"strings"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// An Outcome says how a case ended.
type Outcome string

// The outcomes.
const (
	Passed       Outcome = "passed"
	Failed       Outcome = "failed"
	Inapplicable Outcome = "does not apply" // because of what the transport claims
	Unchecked    Outcome = "NOT CHECKED"    // the harness has no function for it
	Waived       Outcome = "WAIVED"         // the harness says that it would fail
)

// A Result is the outcome of one case.
type Result struct {
	Case    string
	Outcome Outcome
	Why     string // the case did not run; "" if it did
}

// A Report says what a transport can and cannot do.
type Report struct {
	Name    string
	Claims  transport.Guarantees
	Results []Result
	// Cannot lists what the transport does not do, and by its claims need not do.
	Cannot []string
	// Beyond lists what the transport was seen to do although it does not claim
	// it. That is no proof that it always does.
	Beyond []string
}

func (r *Report) add(result Result)  { r.Results = append(r.Results, result) }
func (r *Report) cannot(what string) { r.Cannot = append(r.Cannot, what) }
func (r *Report) beyond(what string) { r.Beyond = append(r.Beyond, what) }

// String formats the report for people, several lines long.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "what %s can and cannot do\n", r.Name)
	fmt.Fprintf(&b, "  claims:          %s\n", describe(r.Claims))
	for _, o := range []Outcome{Passed, Failed} {
		var names []string
		for _, result := range r.Results {
			if result.Outcome == o {
				names = append(names, result.Case)
			}
		}
		if len(names) > 0 {
			fmt.Fprintf(&b, "  %-16s %s\n", string(o)+":", strings.Join(names, ", "))
		}
	}
	for _, result := range r.Results {
		if result.Why != "" {
			fmt.Fprintf(&b, "  %-16s %s: %s\n", string(result.Outcome)+":", result.Case, result.Why)
		}
	}
	for _, what := range r.Cannot {
		fmt.Fprintf(&b, "  cannot:          %s\n", what)
	}
	for _, what := range r.Beyond {
		fmt.Fprintf(&b, "  beyond claims:   %s\n", what)
	}
	return strings.TrimRight(b.String(), "\n")
}

func describe(g transport.Guarantees) string {
	var all []string
	for _, claim := range []struct {
		made    bool
		yes, no string
	}{
		{g.Log, "a log", "no log"},
		{g.AtLeast, "at least once", "at most once"},
		{g.TotalOrder, "one order for all", "each publisher's order"},
		{g.Groups, "consumer groups", "no consumer groups"},
	} {
		if claim.made {
			all = append(all, claim.yes)
		} else {
			all = append(all, claim.no)
		}
	}
	return strings.Join(all, ", ")
}
