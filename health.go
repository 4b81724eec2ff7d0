package fanfare

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/api"
)

// A status knows how a node is. It is an api.Node.
type status struct {
	node   string
	bus    bus
	topics domain.Topics
	hub    *stream.Hub
	phase  atomic.Int32
	ready  atomic.Bool // has been ready once
}

const (
	isStarting = iota
	isStarted
	isDraining
)

// confirmWithin is how long a bus that answers may take to confirm a system before
// the system is deaf: as long as a subscription may be behind.
const confirmWithin = 5 * time.Second

func newStatus(cfg Config, bus bus, topics domain.Topics, hub *stream.Hub) *status {
	return &status{node: cfg.Node, bus: bus, topics: topics, hub: hub}
}

func (s *status) started()  { s.phase.CompareAndSwap(isStarting, isStarted) }
func (s *status) draining() { s.phase.Store(isDraining) }

// Serves says whether messages of the system may be published here.
func (s *status) Serves(system domain.System) bool { return s.hub.Serves(system) }

// Health says how the node is now.
func (s *status) Health() api.Health {
	streams, awaited := s.hub.Streams(), s.awaited()
	deaf, useless := s.deaf(streams, awaited)
	h := api.Health{Phase: s.now(streams, awaited, useless), BusUp: s.bus.Up(), Node: s.node, Systems: []string{}, Deaf: deaf}
	for _, st := range streams {
		h.Systems = append(h.Systems, st.System().String())
	}
	return h
}

// now is ready once the node's own systems are confirmed, or the bus is down: that
// must not keep every node at once out of the load balancer. Nor must a system
// that waits for the copy of a mark, as on every node, or that the bus does not
// confirm, if it confirms others.
func (s *status) now(streams []*stream.Stream, awaited []string, useless bool) api.Phase {
	switch s.phase.Load() {
	case isDraining:
		return api.Draining
	case isStarted:
		if useless {
			return api.Deaf
		}
		if s.ready.Load() || s.hub.Ready() || !s.bus.Up() || s.othersReady(streams, awaited) {
			s.ready.Store(true)
			return api.Ready
		}
	}
	return api.Starting
}

// deaf returns the systems whose messages do not come here, though the bus
// answers; and whether that makes the node useless to new clients while another
// node may serve them: it hears no system, and not only for reasons that are
// every node's. Such a reason is a mark whose copy is awaited. A system that has
// left a node which serves any system says nothing about the others.
func (s *status) deaf(streams []*stream.Stream, awaited []string) (names []string, useless bool) {
	behind, own := s.bus.DeafTopics(), false
	for _, st := range streams {
		topic := s.topics.Topic(st.System())
		switch {
		case slices.Contains(behind, topic), st.Left() && !s.hub.Any():
			own = true
		case st.Left(), slices.Contains(awaited, topic), isUnconfirmed(st):
		default:
			continue
		}
		names = append(names, st.System().String())
	}
	return names, own && len(names) == len(streams)
}

// awaited returns the topics that have waited for the copy of a mark for too long.
func (s *status) awaited() []string {
	if moving, ok := s.bus.(*migrate.DualBus); ok {
		return moving.Awaited()
	}
	return nil
}

func isUnconfirmed(st *stream.Stream) bool {
	since := st.Unconfirmed()
	return !since.IsZero() && time.Since(since) > confirmWithin
}

// othersReady says whether some systems are ready, or as ready as on any node, and
// the bus does not confirm the others.
func (s *status) othersReady(streams []*stream.Stream, awaited []string) (some bool) {
	for _, st := range streams {
		ready := slices.Contains(awaited, s.topics.Topic(st.System()))
		select {
		case <-st.Ready():
			ready = true
		default:
		}
		if !ready && !isUnconfirmed(st) {
			return false
		}
		some = some || ready
	}
	return some
}

// deafSystems says of each system that is consumed whether it is deaf: 1, or not: 0.
func (s *status) deafSystems() map[string]float64 {
	streams := s.hub.Streams()
	deaf, _ := s.deaf(streams, s.awaited())
	all := make(map[string]float64, len(streams))
	for _, st := range streams {
		all[st.System().String()] = 0
	}
	for _, name := range deaf {
		all[name] = 1
	}
	return all
}
