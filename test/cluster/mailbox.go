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

// An event is a message or a gap, as a client heard it.
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

// A state is how a client is.
type state struct {
	connected bool
	hellos    int    // so far
	session   string // of the last one
	busUp     bool
	gaveUp    error
}

// A mailbox holds what a client has heard. It is safe for concurrent use.
type mailbox struct {
	mu      sync.Mutex
	state   state             // guarded by mu
	events  []event           // not taken yet; guarded by mu
	all     []*client.Message // taken or not; guarded by mu
	fences  map[string]int    // system: the newest that came; guarded by mu
	changed chan struct{}     // closed with each change; guarded by mu
}

func newMailbox() *mailbox {
	return &mailbox{fences: make(map[string]int), changed: make(chan struct{})}
}

// change changes something, and lets all look who wait.
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

// until waits, at most for d, until enough says so; that is called with mu
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

// wait waits until the client is in some state.
func (b *mailbox) wait(d time.Duration, enough func(state) bool) error {
	return b.until(d, func() bool { return enough(b.state) })
}

// find returns where the first event of a system is; of any for "".
func (b *mailbox) find(system string) int {
	return slices.IndexFunc(b.events, func(e event) bool { return system == "" || e.system == system })
}

// take waits for the next event of a system, and takes it out.
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

// messages are those of a system that came so far.
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
