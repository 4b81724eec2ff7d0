package fanfare

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/ports/api"
	"github.com/fanfarebus/fanfare/ports/plane"
)

// confirmWithin is how long a bus that answers may take to confirm the
// subscription of a system. After that the system is deaf. It is as long as a
// subscription may be behind the bus before its topic is deaf.
const confirmWithin = transport.DefaultDeafAfter

// The stages of a node's life. They only go forward.
const (
	isStarting = iota
	isStarted
	isDraining
)

// A health knows how a node is. It is an [api.Node], and safe for concurrent
// use.
type health struct {
	node   string
	bus    bus
	topics domain.Topics
	hub    *stream.Hub
	plane  *plane.Plane // nil if the control plane is off
	logins *logins

	stage atomic.Int32 // one of isStarting, isStarted and isDraining

	// wasReady says that Health has found the node ready once. From then on the
	// node does not go back to starting. It may have been ready because the bus
	// was down: that the bus is back, and has not confirmed everything yet, is no
	// reason to take the node out of rotation.
	wasReady atomic.Bool
}

func newHealth(
	cfg Config, b bus, topics domain.Topics, hub *stream.Hub, p *plane.Plane, l *logins,
) *health {
	return &health{node: cfg.Node, bus: b, topics: topics, hub: hub, plane: p, logins: l}
}

func (h *health) started()         { h.stage.CompareAndSwap(isStarting, isStarted) }
func (h *health) draining()        { h.stage.Store(isDraining) }
func (h *health) isDraining() bool { return h.stage.Load() == isDraining }

// Serves says whether messages of the system may be published here.
func (h *health) Serves(system domain.System) bool { return h.hub.Serves(system) }

// Health says how the node is now. If that is ready, h remembers it.
func (h *health) Health() api.Health {
	c := h.look()
	phase := h.phase(c)
	if phase == api.Ready {
		h.wasReady.Store(true)
	}
	now := api.Health{Phase: phase, BusUp: c.busUp, Node: h.node, Systems: []string{}, Deaf: c.deaf}
	for _, s := range c.streams {
		now.Systems = append(now.Systems, s.System().String())
	}
	now.ControlDown = h.plane != nil && h.plane.Trouble() != ""
	return now
}

// A condition is what a node's phase follows from, all read at one time.
type condition struct {
	busUp   bool
	streams []*stream.Stream // of the systems that are consumed
	awaited []string         // topics that have waited for the copy of a mark for too long
	deaf    []string         // systems whose messages do not come here, though the bus answers

	// useless says that clients had better go to another node: this one hears no
	// system, and not only for reasons that every node has. A mark whose copy is
	// awaited is such a reason, and so is a system that the bus does not confirm.
	useless bool
}

func (h *health) look() condition {
	c := condition{busUp: h.bus.Up(), streams: h.hub.Streams()}
	if moving, ok := h.bus.(*migrate.DualBus); ok {
		c.awaited = moving.Awaited()
	}
	behind, ownFault := h.bus.DeafTopics(), false
	for _, s := range c.streams {
		topic := h.topics.Topic(s.System())
		switch {
		case slices.Contains(behind, topic), s.Left() && !h.hub.Any():
			ownFault = true
		case s.Left():
			// On a node that serves any system this one is deaf, and says nothing
			// about the others.
		case slices.Contains(c.awaited, topic), isUnconfirmed(s):
		default:
			continue // it is heard
		}
		c.deaf = append(c.deaf, s.System().String())
	}
	c.useless = ownFault && len(c.deaf) == len(c.streams)
	return c
}

// phase judges a node. It is ready once it has keys to check tokens with, knows the
// facts, such as who is blocked, and the systems that it always serves are confirmed.
// These are no reasons to wait, since every node has them and a load balancer would be
// left without any node: a bus that is down, a system that waits for the copy of a mark,
// and a system that the bus does not confirm while it confirms others. An issuer of
// tokens that has never answered this node is a reason: others may have its keys.
func (h *health) phase(c condition) api.Phase {
	stage := h.stage.Load()
	switch {
	case stage == isDraining:
		return api.Draining
	case stage == isStarting:
		return api.Starting
	case c.useless:
		return api.Deaf
	case h.wasReady.Load():
		return api.Ready
	case !h.logins.ready():
		return api.Starting
	case !c.busUp:
		return api.Ready
	case h.plane != nil && !h.plane.Ready():
		return api.Starting
	case h.hub.Ready(), h.restIsReady(c):
		return api.Ready
	}
	return api.Starting
}

// restIsReady reports whether every system is ready, or awaits a cutover mark's copy as
// on any node, or has been unconfirmed for too long. At least one is not of the third
// kind.
func (h *health) restIsReady(c condition) (some bool) {
	for _, s := range c.streams {
		ready := isReady(s) || slices.Contains(c.awaited, h.topics.Topic(s.System()))
		if !ready && !isUnconfirmed(s) {
			return false
		}
		some = some || ready
	}
	return some
}

func isReady(s *stream.Stream) bool {
	select {
	case <-s.Ready():
		return true
	default:
		return false
	}
}

func isUnconfirmed(s *stream.Stream) bool {
	since := s.Unconfirmed()
	return !since.IsZero() && time.Since(since) > confirmWithin
}

// Metrics describes whether the node is ready, and how it hears its systems.
func (h *health) Metrics() []metric.Metric {
	return []metric.Metric{
		metric.Of(metric.Gauge, "ready", "1 while /readyz answers 200, else 0.",
			func() int { return oneIf(h.phase(h.look()) == api.Ready) }),
		metric.Of(metric.Gauge, "draining",
			"1 while the node sends its sessions away in order to end, else 0.",
			func() int { return oneIf(h.isDraining()) }),
		metric.PerLabel(metric.Gauge, "deaf",
			"1 while messages of the system do not come to this node although the bus answers, "+
				"else 0.", "system", h.deafness),
		metric.PerLabel(metric.Gauge, "bus_lag_seconds",
			"How far this node is behind the bus in the system: for how long something has been "+
				"on the bus that the node has not taken in. 0 if there is nothing; "+
				"no value while the bus does not answer.", "system", h.lags),
	}
}

// lags returns in seconds how far each system that is consumed is behind.
func (h *health) lags() map[string]float64 {
	known, all := h.bus.Lags(), make(map[string]float64)
	for _, s := range h.hub.Streams() {
		if lag, ok := known[h.topics.Topic(s.System())]; ok {
			all[s.System().String()] = lag.Seconds()
		}
	}
	return all
}

// deafness returns 1 for each system that is deaf, and 0 for the others that are
// consumed.
func (h *health) deafness() map[string]int {
	c := h.look()
	all := make(map[string]int, len(c.streams))
	for _, s := range c.streams {
		all[s.System().String()] = 0
	}
	for _, name := range c.deaf {
		all[name] = 1
	}
	return all
}
