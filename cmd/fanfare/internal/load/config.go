package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// A Scenario is what the load does.
type Scenario string

// The scenarios.
const (
	FanOut  Scenario = "fan-out" // each message is for all clients of a system
	Unicast Scenario = "unicast" // each message is for one client, in turn
	Idle    Scenario = "idle"    // clients connect and stay; nothing is published
	Resume  Scenario = "resume"  // all clients are cut off, miss messages, and come back at once
)

// The protocols that clients may speak.
const (
	V1    = "v1"    // fanfare.v1.json
	Plain = "plain" // bare frames
)

// Bounds of a load.
const (
	MaxClients    = 100_000
	MaxRate       = 1_000_000 // messages a second
	MaxInFlight   = 100_000
	MaxPublishers = 1024
	MaxBatch      = 500
	MaxMissed     = 10_000
	MaxSystems    = 1000
	MaxDuration   = time.Hour
	MaxSize       = 64 << 10
)

// A Config says what the load is. [Config.Validate] says what a field may be.
type Config struct {
	Scenario Scenario
	URLs     []string // of nodes or load balancers; clients and publishers are spread over them
	Protocol string   // V1 or Plain
	System   string   // to attach to and to publish to
	Systems  int      // if more than 1: that many systems, System-0, System-1 …, in turn
	Clients  int      // each of a user of its own: bench-0, bench-1 …
	Absent   int      // further users who get messages and have no session; in flight until published
	Stalled  int      // further clients that connect and read nothing
	Ramp     int      // clients that connect a second; 0 is as fast as the nodes take them

	Rate       int // messages a second; 0 if InFlight is set
	InFlight   int // messages that are published and have not arrived yet; 0 if Rate is set
	Publishers int // connections that publish; fewer if that many cannot be used
	Batch      int // messages in one request; with Rate, at most
	Size       int // bytes of a message's data, at least what the numbers take
	Missed     int // messages for each client that are published while it is away; for Resume

	WarmUp   time.Duration // before anything is measured; there is none for Idle and Resume
	Duration time.Duration // for which messages are due; for Idle, for which clients stay
	Wait     time.Duration // for messages that are still on their way when all are published

	// ReadPause is how long the clients do nothing between two rounds of reading. With
	// a pause the node's writes do not pay for waking the reader, which on a machine
	// of its own would not slow them down. It adds its length to latencies.
	ReadPause time.Duration

	// Metrics are URLs of the nodes' metrics. If there are none, /metrics of URLs is
	// tried, and it is no error if nothing is there.
	Metrics []string

	Key string      // API key to publish with; empty for none
	TLS *tls.Config // for https and wss; nil for the default

	// Token returns a session token for a user of a system; nil at a node in
	// development. It is called concurrently.
	Token func(user, system string) (string, error)

	// Outlet opens a publisher's way to the bus; nil for HTTP to URLs. It is called
	// once for each publisher.
	Outlet func() (Outlet, error)

	// Progress is called each second with a line that says how far the load is; nil
	// for never. It must not block.
	Progress func(line string)
}

// Validate returns everything that is wrong as one error, nil if nothing is. Each
// fault names its flag of `fanfare bench`.
func (c Config) Validate() error {
	faults := c.checkNames()
	for _, f := range []struct {
		name             string
		value, least, of int
	}{
		{"clients", c.Clients, 1, MaxClients}, {"absent", c.Absent, 0, MaxClients},
		{"stalled", c.Stalled, 0, MaxClients},
		{"rate", c.Rate, 0, MaxRate}, {"in-flight", c.InFlight, 0, MaxInFlight},
		{"publishers", c.Publishers, 1, MaxPublishers}, {"batch", c.Batch, 1, MaxBatch},
		{"size", c.Size, 0, MaxSize}, {"missed", c.Missed, 1, MaxMissed}, {"systems", c.Systems, 1, MaxSystems},
		{"ramp", c.Ramp, 0, MaxRate},
	} {
		if f.value < f.least || f.value > f.of {
			faults = append(faults, fmt.Errorf("--%s: %d: want %d to %d", f.name, f.value, f.least, f.of))
		}
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"duration", c.Duration}, {"warm-up", c.WarmUp}, {"wait", c.Wait}, {"read-pause", c.ReadPause}} {
		if f.value < 0 || f.value > MaxDuration {
			faults = append(faults, fmt.Errorf("--%s: %v: want 0s to %v", f.name, f.value, MaxDuration))
		}
	}
	if len(faults) == 0 {
		faults = c.checkTogether()
	}
	return errors.Join(faults...)
}

func (c Config) checkNames() (faults []error) {
	switch c.Scenario {
	case FanOut, Unicast, Idle, Resume:
	default:
		faults = append(faults, fmt.Errorf("--scenario: %q: want %s, %s, %s or %s",
			c.Scenario, FanOut, Unicast, Idle, Resume))
	}
	if c.Protocol != V1 && c.Protocol != Plain {
		faults = append(faults, fmt.Errorf("--protocol: %q: want %s or %s", c.Protocol, V1, Plain))
	}
	if len(c.URLs) == 0 {
		faults = append(faults, errors.New("--url: want the URL of a node"))
	}
	for _, u := range c.URLs {
		if _, err := parseNode(u); err != nil {
			faults = append(faults, fmt.Errorf("--url: %w", err))
		}
	}
	return faults
}

// checkTogether checks what depends on several fields, each of which is good.
func (c Config) checkTogether() (faults []error) {
	publishing := c.Scenario == FanOut || c.Scenario == Unicast
	switch {
	case publishing && c.Rate == 0 && c.InFlight == 0:
		faults = append(faults, errors.New("--rate: 0: want 1 or more, or --in-flight"))
	case publishing && c.Rate > 0 && c.InFlight > 0:
		faults = append(faults, errors.New("--rate and --in-flight exclude each other: "+
			"a load keeps to a rate, or to a number of messages in flight"))
	case publishing && c.InFlight > 0 && c.InFlight < c.Batch:
		faults = append(faults, fmt.Errorf("--in-flight: %d: want at least --batch, which is %d", c.InFlight, c.Batch))
	}
	if publishing && c.Duration == 0 {
		faults = append(faults, errors.New("--duration: 0s: want more than that"))
	}
	if c.Absent > 0 && c.Scenario != Unicast {
		faults = append(faults, errors.New("--absent: only --scenario unicast publishes for users without a session"))
	}
	if c.Scenario == Resume && c.Protocol == Plain {
		faults = append(faults, errors.New("--protocol: a plain client cannot resume"))
	}
	if c.Systems > c.Clients {
		faults = append(faults, fmt.Errorf("--systems: %d: want at most one for each client", c.Systems))
	}
	if c.Systems > 1 && c.Batch > 1 {
		faults = append(faults, errors.New("--batch: a request is for one system: want --systems 1"))
	}
	return append(faults, checkDescriptors(c.Clients+c.Stalled+c.Publishers)...)
}

// systemOf returns the name of a system.
func (c Config) systemOf(n int) string {
	if c.Systems == 1 {
		return c.System
	}
	return fmt.Sprintf("%s-%d", c.System, n)
}

// stalledUser returns the name of the user of a client that reads nothing.
func stalledUser(n int) string { return fmt.Sprint("bench-stalled-", n) }

// UserOf returns the name of a client's user.
func UserOf(client int) string { return fmt.Sprint("bench-", client) }
