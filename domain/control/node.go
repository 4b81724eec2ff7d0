package control

import "time"

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
func (m *Machine) Nodes(now Now) []NodeInfo { return nil }
