package cluster

import (
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
)

// A T is what a cluster needs of the test it runs in: a *testing.T, or one
// that stands for it.
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
	node     []func(*fanfare.Config)
}

func newConfig(opts []Option) config {
	cfg := config{patience: 10 * time.Second}
	for _, set := range opts {
		set(&cfg)
	}
	return cfg
}

// Lossy gives the cluster a bus that keeps no log, such as Redis pub/sub: what
// a node does not hear is lost, and a client that changes nodes is told a gap.
func Lossy() Option { return func(c *config) { c.lossy = true } }

// Keep lets the bus and the windows of nodes keep only so many messages of a
// system, so that clients that stay away come too late. So do nodes: who
// publishes more than that before they have heard it makes a gap for all.
func Keep(messages int) Option { return func(c *config) { c.log.Messages = messages } }

// Patience is how long to wait for what must come; default 10 s.
func Patience(d time.Duration) Option { return func(c *config) { c.patience = d } }

// Configure changes the settings of each node before it starts, also before it
// starts again. They are a development node's that serves any system; Node
// names it. Envelope.UserField is not for clusters: what they publish themselves
// would not be understood.
func Configure(change func(cfg *fanfare.Config)) Option {
	return func(c *config) { c.node = append(c.node, change) }
}

// settings are those of the named node.
func (c *config) settings(name string) fanfare.Config {
	cfg := fanfare.Config{Node: name, Dev: true, Drain: 50 * time.Millisecond}
	cfg.Window.Messages = c.log.Messages
	for _, change := range c.node {
		change(&cfg)
	}
	return cfg
}
