package conformance

import "testing"

// Check runs one case of the suite under t, which need not be a *testing.T, and
// returns its report; nil if there is no such case.
func Check(t testing.TB, h Harness, name string) *Report {
	h = h.withDefaults()
	for _, c := range cases {
		if c.name == name {
			report := &Report{Name: h.Name, Claims: claims(t, h)}
			c.check(t, h, report)
			return report
		}
	}
	return nil
}
