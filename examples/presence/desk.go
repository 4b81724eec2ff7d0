// Package presence is an example of a service that is told who comes and goes. Agents
// of a help desk take tickets. When an agent is offline, the tickets are free again, and
// all agents are told. Its tests show how to test such a service with package
// test/cluster.
package presence

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare"
)

// System is the system to which the agents' devices are attached. Nodes must have it in
// the settings presence.systems and events.
const System = "support"

// A Publisher publishes messages to users. Both [*fanfare.Publisher] and [*fanfare.Node]
// are Publishers.
type Publisher interface {
	Publish(ctx context.Context, system string, msgs ...fanfare.Message) (fanfare.Published, error)
}

// A Desk knows which agent works on which ticket. It is safe for concurrent use.
type Desk struct {
	push Publisher

	mu    sync.Mutex
	taken map[string][]ticket // by agent; guarded by mu
}

type ticket struct {
	name  string
	taken time.Time
}

// New returns a desk that publishes through push.
func New(push Publisher) *Desk { return &Desk{push: push, taken: make(map[string][]ticket)} }

// Take gives a ticket to an agent.
func (d *Desk) Take(agent, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken[agent] = append(d.taken[agent], ticket{name, time.Now()})
}

// Tickets returns the tickets of an agent.
func (d *Desk) Tickets(agent string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for _, t := range d.taken[agent] {
		names = append(names, t.name)
	}
	return names
}

// Run frees the tickets of agents who go offline, until ctx ends. All instances of the
// service give it a Subscriber of the same group, and share the events.
func (d *Desk) Run(ctx context.Context, events *fanfare.Subscriber) error {
	return events.Events(ctx, d.handle, System)
}

// handle reacts to an event. If it returns an error, the event comes again after a pause,
// and later events of the same agent wait for it.
func (d *Desk) handle(ctx context.Context, e *fanfare.Event) error {
	if e.Type != "fanfare.user.offline" {
		return nil // there will be types that this service has never heard of
	}
	for _, name := range d.takenBefore(e.User, e.Time) {
		free := fanfare.Message{
			ID:   "free-" + name + "-" + e.ID, // the same when the event comes again
			To:   []string{"*"},
			Type: "ticket.free",
			Data: map[string]string{"ticket": name, "was": e.User},
		}
		if _, err := d.push.Publish(ctx, System, free); err != nil {
			return fmt.Errorf("telling that %s is free: %w", name, err)
		}
		d.free(e.User, name) // not before all know: an error would bring the event again
	}
	return nil
}

// takenBefore returns the tickets that an agent took before a time. An event may come
// again late, when the agent is back and has other tickets.
func (d *Desk) takenBefore(agent string, end time.Time) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for _, t := range d.taken[agent] {
		if t.taken.Before(end) {
			names = append(names, t.name)
		}
	}
	return names
}

func (d *Desk) free(agent, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken[agent] = slices.DeleteFunc(d.taken[agent], func(t ticket) bool { return t.name == name })
	if len(d.taken[agent]) == 0 {
		delete(d.taken, agent)
	}
}
