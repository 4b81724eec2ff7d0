package cluster

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
)

// A T is what a cluster needs of the test that it runs in. A *testing.T is one.
type T interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// An Option changes what Start makes.
type Option func(*config)

type config struct {
	lossy    bool
	log      memory.Config
	patience time.Duration
	events   []string
	node     []func(*fanfare.Config)
}

func newConfig(opts []Option) config {
	cfg := config{patience: 10 * time.Second}
	for _, set := range opts {
		set(&cfg)
	}
	return cfg
}

// Lossy gives the cluster a bus that keeps no log, as Redis pub/sub does. What a
// node does not receive is lost to it, and a client that changes nodes is told a
// gap.
func Lossy() Option { return func(c *config) { c.lossy = true } }

// Keep limits how many messages of a system the bus and the windows of nodes
// keep, so that clients that stay away long enough are told a gap. The limit holds
// for nodes as well: if more than that is published before a node has read it,
// all its clients are told a gap.
func Keep(messages int) Option { return func(c *config) { c.log.Messages = messages } }

// Events has nodes tell the services of these systems who comes and goes: see
// [Cluster.Events].
func Events(systems ...string) Option { return func(c *config) { c.events = systems } }

// Patience sets how long to wait for what must come. The default is 10 s.
func Patience(d time.Duration) Option { return func(c *config) { c.patience = d } }

// Configure changes the settings of each node whenever it starts. Initially they
// are those of a development node that serves any system, and knows of all
// systems who is there; their field Node has the node's name. Times are shorter than
// elsewhere: a user without sessions is present for 200 ms (Presence.Grace), and a
// node that crashes is noticed after 1 s (Control.DeadAfter). Envelope.UserField must
// not be set, since nodes could then not read what the cluster itself publishes.
func Configure(change func(cfg *fanfare.Config)) Option {
	return func(c *config) { c.node = append(c.node, change) }
}

var everySystem = []string{"*"}

// What nodes do after seconds elsewhere they do sooner here, so that tests which wait for
// it in real time are short.
const (
	heartbeat = 100 * time.Millisecond
	deadAfter = time.Second
	// grace is long enough for a client to come back, which takes some milliseconds, also
	// on a machine that is busy.
	grace = 200 * time.Millisecond
)

// settings returns the settings of the named node.
func (c *config) settings(name string) fanfare.Config {
	cfg := fanfare.Config{Node: name, Dev: true, Drain: 50 * time.Millisecond}
	cfg.Control.Heartbeat, cfg.Control.DeadAfter = heartbeat, deadAfter
	cfg.Presence.Systems, cfg.Presence.Grace = everySystem, grace
	cfg.Events = c.events
	cfg.Window.Messages = c.log.Messages
	for _, change := range c.node {
		change(&cfg)
	}
	if cfg.Control.Disabled && slices.Equal(cfg.Presence.Systems, everySystem) {
		cfg.Presence.Systems = nil // a node without control refuses it
	}
	return cfg
}
