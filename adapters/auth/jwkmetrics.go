package auth

import (
	"time"

	"github.com/fanfarebus/fanfare/internal/metric"
)

// KeyMetrics describes the keys that the JWT of the moment fetches, which now returns. Of one
// that fetches none, or nil, all numbers are 0.
func KeyMetrics(now func() *JWT) []metric.Metric {
	source := func() *keySource {
		if j := now(); j != nil {
			return j.source
		}
		return nil
	}
	return []metric.Metric{
		metric.Of(metric.Gauge, "jwks_keys",
			"Keys of the tokens' issuer, as they were fetched, with which tokens are verified now.",
			func() int { return source().known() }),
		metric.Of(metric.Gauge, "jwks_age_seconds",
			"Seconds since the keys of the tokens' issuer were fetched; 0 if they never were.",
			func() float64 { return source().age() }),
		metric.PerLabel(metric.Counter, "jwks_fetches_total",
			"Times the keys of the tokens' issuer were fetched, by result: ok or failed.",
			"result", func() map[string]uint64 { return source().results() }),
	}
}

func (s *keySource) known() int {
	if s == nil {
		return 0
	}
	return len(s.keys.Load().keys)
}

func (s *keySource) age() float64 {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetched.IsZero() {
		return 0
	}
	return time.Since(s.fetched).Seconds()
}

func (s *keySource) results() map[string]uint64 {
	if s == nil {
		return nil
	}
	return map[string]uint64{"ok": s.successes.Load(), "failed": s.failures.Load()}
}
