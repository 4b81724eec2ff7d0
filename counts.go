package fanfare

import (
	"time"

	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/api"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A counter says what a node counts. It is an [api.Counter].
type counter struct {
	born     time.Time
	registry *session.Registry
	health   *health
}

var _ api.Counter = (*counter)(nil)

func newCounter(registry *session.Registry, h *health) *counter {
	return &counter{born: time.Now(), registry: registry, health: h}
}

// Counts returns what this node has counted.
func (c *counter) Counts() api.Counts {
	stats, now := c.registry.Stats(), c.health.look()
	out := api.Counts{
		AtMS: time.Since(c.born).Milliseconds(), BusUp: now.busUp,
		Deaf:     now.deaf[:min(len(now.deaf), api.MaxDeaf)],
		Sessions: stats.Sessions, Users: stats.Users,
		Opened: stats.Opened, Closed: sum(stats.Closed), Refused: sum(stats.Rejected),
	}
	all := make([]api.SystemCounts, 0, len(now.streams))
	for _, s := range now.streams {
		all = append(all, countsOf(s.System().String(), s.Stats()))
	}
	out.Systems, out.Left = api.Bound(all)
	return out
}

func countsOf(system string, s stream.Stats) api.SystemCounts {
	return api.SystemCounts{
		System: system, Sessions: s.Sessions, Behind: s.Behind,
		Messages: s.Delivered, Matched: s.Matched, Delivered: s.Offered,
		Gaps: sum(s.GapsTold), Window: s.Bytes,
	}
}

func sum[K comparable](counts map[K]uint64) (total uint64) {
	for _, n := range counts {
		total += n
	}
	return total
}
