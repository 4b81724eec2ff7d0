package fanfare

import (
	"sync/atomic"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/api"
)

// A status knows how a node is. It is an api.Node.
type status struct {
	node  string
	bus   bus
	hub   *stream.Hub
	phase atomic.Int32
	ready atomic.Bool // has been ready once
}

const (
	isStarting = iota
	isStarted
	isDraining
)

func newStatus(cfg Config, bus bus, hub *stream.Hub) *status {
	return &status{node: cfg.Node, bus: bus, hub: hub}
}

func (s *status) started()  { s.phase.CompareAndSwap(isStarting, isStarted) }
func (s *status) draining() { s.phase.Store(isDraining) }

// Serves says whether messages of the system may be published here.
func (s *status) Serves(system domain.System) bool { return s.hub.Serves(system) }

// Health says how the node is now.
func (s *status) Health() api.Health {
	h := api.Health{Phase: s.now(), BusUp: s.bus.Up(), Node: s.node, Systems: []string{}}
	for _, st := range s.hub.Streams() {
		h.Systems = append(h.Systems, st.System().String())
	}
	return h
}

// now is deaf while the bus answers and its messages do not come, or come on another bus; and ready once the node's own systems are confirmed, or the bus is down:
// that must not keep every node at once out of the load balancer.
func (s *status) now() api.Phase {
	switch s.phase.Load() {
	case isDraining:
		return api.Draining
	case isStarted:
		if s.bus.Deaf() || s.hub.Left() {
			return api.Deaf
		}
		if s.ready.Load() || s.hub.Ready() || !s.bus.Up() {
			s.ready.Store(true)
			return api.Ready
		}
	}
	return api.Starting
}
