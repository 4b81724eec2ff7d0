package auth

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A gate bounds what a [Callback] asks at a time, and leaves an endpoint alone that fails. It
// is safe for concurrent use.
type gate struct {
	slots chan struct{} // holds a value for each question that is asked

	mu       sync.Mutex
	waiting  int       // for a slot; guarded by mu, like all below
	failures int       // questions that went bad one after the other
	closed   time.Time // until when no question is asked, if failures are too many
	trying   bool      // after that, one question is asked to see whether it is well again
}

const (
	// waitersPerSlot is how many may wait for each question that is asked at a time.
	waitersPerSlot = 16
	// mostFailures is how many questions in a row may go bad before the gate closes.
	mostFailures = 10
	// closedTime is how long it is closed then.
	closedTime = time.Second
)

var (
	errManyWait = errors.New("too many requests wait for an answer")
	errClosed   = errors.New("it has failed again and again, and is left alone for a moment")
)

func newGate(concurrency int) *gate { return &gate{slots: make(chan struct{}, concurrency)} }

// enter waits for a slot. If it returns nil, the caller must call leave.
func (g *gate) enter(ctx context.Context, now func() time.Time) error {
	if err := g.queue(now()); err != nil {
		return err
	}
	defer g.unqueue()
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := g.begin(now()); err != nil {
		<-g.slots
		return err
	}
	return nil
}

// queue counts the caller as waiting, unless there is nothing to wait for.
func (g *gate) queue(now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.isClosed(now):
		return errClosed
	case g.waiting >= waitersPerSlot*cap(g.slots):
		return errManyWait
	}
	g.waiting++
	return nil
}

func (g *gate) unqueue() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting--
}

// begin begins a question, which may be the one that tries whether the endpoint is well.
func (g *gate) begin(now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isClosed(now) {
		return errClosed
	}
	g.trying = g.failures >= mostFailures
	return nil
}

// isClosed reports whether no question is asked now. The caller holds mu.
func (g *gate) isClosed(now time.Time) bool {
	return g.failures >= mostFailures && (g.trying || now.Before(g.closed))
}

// An outcome is how a question went.
type outcome int

const (
	good    outcome = iota // the endpoint has answered, whatever it was
	bad                    // it has not, or is out of service
	unknown                // nobody waited for it
)

// leave ends a question.
func (g *gate) leave(o outcome, now time.Time) {
	<-g.slots
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trying = false
	switch o {
	case good:
		g.failures = 0
	case bad:
		if g.failures++; g.failures >= mostFailures {
			g.closed = now.Add(closedTime)
		}
	}
}
