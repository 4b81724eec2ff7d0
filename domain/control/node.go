package control

import (
	"slices"
	"strings"
	"time"
)

// A Status is what a node says of itself in its heartbeat.
type Status struct {
	Sessions int           `json:"sessions"`
	Users    int           `json:"users"`
	Systems  []string      `json:"systems"`
	Lag      time.Duration `json:"-"` // of the system that is furthest behind the bus
	Draining bool          `json:"draining"`
}

// A NodeInfo is what is known of a live node.
type NodeInfo struct {
	Name        string
	Incarnation string
	Version     string
	Self        bool // it is this one
	Status      Status
	Heard       time.Duration // how long ago something was heard of it; 0 for this one
	ClockAhead  time.Duration // how far its clock is ahead of this node's, as far as that is known
	InStep      bool          // its rows are known here
}

// Nodes returns the live nodes, this one too, sorted by name and incarnation.
func (m *Machine) Nodes(now Now) []NodeInfo {
	now = m.enter(now)
	all := make([]NodeInfo, 0, len(m.nodes.list)+1)
	all = append(all, NodeInfo{
		Name: m.cfg.Node, Incarnation: m.cfg.Incarnation, Version: m.cfg.Version,
		Self: true, Status: m.self.status, InStep: true,
	})
	for _, p := range m.nodes.list {
		info := NodeInfo{Name: p.name, Incarnation: p.inc, Heard: now.Mono - p.heard, InStep: p.inStep}
		ahead := now.Mono.Milliseconds() - now.Wall - p.clock.offset
		info.ClockAhead = time.Duration(max(-maxShown, min(ahead, maxShown))) * time.Millisecond
		if b := p.beat; b != nil {
			info.Version = b.version
			info.Status = Status{
				Sessions: b.sessions, Users: b.users, Systems: slices.Clone(b.systems),
				Lag: time.Duration(min(b.lag, maxShown)) * time.Millisecond, Draining: b.draining,
			}
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b NodeInfo) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Incarnation, b.Incarnation)
	})
	return all
}

// Newest returns the incarnation of the live node with a name, "" if there is none. If there
// are several, because one was started again and the end of the other is not known yet, it is
// the newest.
func Newest(nodes []NodeInfo, name string) (incarnation string) {
	for _, n := range nodes {
		if n.Name == name {
			incarnation = max(incarnation, n.Incarnation)
		}
	}
	return incarnation
}

// maxShown is the longest time that is believed of a node, in ms: some two centuries.
const maxShown = 200 * 366 * 24 * 3600 * 1000
