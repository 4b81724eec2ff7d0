package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/client"
)

// An event is a message or a gap that a client received.
type event struct {
	system  string
	message *client.Message // nil for a gap
	gap     *client.Gap
}

func (e *event) String() string {
	if e.gap != nil {
		return fmt.Sprintf("a gap in %s: %s", e.gap.System, e.gap.Reason)
	}
	m := e.message
	text := "message"
	if m.System != "" {
		text += " in " + m.System
	}
	text += ": " + briefly(m.ID, m.Type, m.Data)
	if m.To != "" {
		text += " to " + m.To
	}
	if m.From != "" {
		text += " from " + m.From
	}
	return text
}

// A state is what is known of a client's connection.
type state struct {
	connected bool
	hellos    int    // how many sessions it has had
	session   string // the id of the newest session
	busUp     bool   // what its node has last said of the bus
	gaveUp    error  // why it does not reconnect any more; nil if it does
}

// A mailbox holds what a client has received. It is safe for concurrent use.
type mailbox struct {
	mu      sync.Mutex
	state   state             // guarded by mu
	told    []Disconnection   // that the test has not taken yet; guarded by mu
	events  []event           // what the test has not taken yet; guarded by mu
	all     []*client.Message // all messages, taken or not; guarded by mu
	fences  map[string]int    // by system: the number of the newest fence; guarded by mu
	changed chan struct{}     // closed, and replaced, at each change; guarded by mu
}

func newMailbox() *mailbox {
	return &mailbox{fences: make(map[string]int), changed: make(chan struct{})}
}

// change makes a change with mu held, and wakes everybody who waits.
func (b *mailbox) change(how func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	how()
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *mailbox) add(e event) {
	b.change(func() {
		b.events = append(b.events, e)
		if e.message != nil {
			b.all = append(b.all, e.message)
		}
	})
}

func (b *mailbox) giveUp(err error) {
	b.change(func() { b.state.connected, b.state.gaveUp = false, err })
}

func (b *mailbox) now() state {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

var errPatience = errors.New("nothing came")

// until waits, at most for d, until enough returns true. It calls enough with mu
// held.
func (b *mailbox) until(d time.Duration, enough func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for {
		b.mu.Lock()
		done, changed, gaveUp := enough(), b.changed, b.state.gaveUp
		b.mu.Unlock()
		switch {
		case done:
			return nil
		case gaveUp != nil:
			return fmt.Errorf("it gave up: %w", gaveUp)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w in %v", errPatience, d)
		}
	}
}

// wait waits, at most for d, until enough accepts the client's state.
func (b *mailbox) wait(d time.Duration, enough func(state) bool) error {
	return b.until(d, func() bool { return enough(b.state) })
}

// find returns the index of the first event of a system, or of any for "". It
// returns -1 if there is none. mu must be held.
func (b *mailbox) find(system string) int {
	return slices.IndexFunc(b.events, func(e event) bool { return system == "" || e.system == system })
}

// take waits for the next event of a system, and removes it.
func (b *mailbox) take(d time.Duration, system string) (e event, err error) {
	err = b.until(d, func() bool {
		i := b.find(system)
		if i < 0 {
			return false
		}
		e = b.events[i]
		b.events = slices.Delete(b.events, i, i+1)
		return true
	})
	return e, err
}

// peek returns the next event of a system, if there is one.
func (b *mailbox) peek(system string) (e event, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.find(system)
	if i < 0 {
		return event{}, false
	}
	return b.events[i], true
}

// messages returns all messages of a system so far, or of all systems for "".
func (b *mailbox) messages(system string) (all []*client.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.all {
		if system == "" || m.System == system {
			all = append(all, m)
		}
	}
	return all
}
