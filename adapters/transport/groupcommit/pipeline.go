package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// maxCommit is the most records that are sent at once.
const maxCommit = 512

// A Pipeline sends records for concurrent callers, as the package's documentation
// says. It is safe for concurrent use.
type Pipeline[T any] struct {
	cfg Config[T]

	mu      sync.Mutex
	queue   []*call[T] // in order; guarded by mu
	waiting int        // records in queue; guarded by mu
	led     bool       // some call leads; guarded by mu
	// idle is nil until Close, which refuses new calls. It is closed when the last
	// leader is done; guarded by mu.
	idle chan struct{}

	// What is being sent. It belongs to the call that leads, and is kept for the
	// next one, to be filled anew.
	calls   []*call[T]
	records []T
}

// New returns a Pipeline.
func New[T any](cfg Config[T]) *Pipeline[T] { return &Pipeline[T]{cfg: cfg} }

// Publish sends records, in order, and returns when Send has answered for them, or
// when ctx or the deadline ends. While they are in the queue that takes them out of
// it; once they are with Send, Publish returns at once with the outcome unknown. But
// a call that leads waits for Send, whatever becomes of its context, because others
// rely on it.
//
// The slice belongs to the Pipeline from now on. If Publish returns without an error,
// it is the caller's again, and holds the records as Send has left them. What the
// records refer to belongs to the caller again when Publish returns.
//
// The outcome's error is
//
//   - what Explain makes of Send's error,
//   - [domain.ErrBusDown] if the deadline has passed,
//   - [domain.ErrLimit] if the queue is full,
//   - [domain.ErrClosed] after Close,
//   - or ctx.Err(), as it is, if ctx has ended.
func (p *Pipeline[T]) Publish(ctx context.Context, deadline time.Time, records []T) Outcome {
	// A long call goes in parts, one after the other: so it can neither fill
	// the queue alone nor hold up its neighbours.
	most := max(1, min(maxCommit, p.cfg.MaxQueue))
	for accepted := 0; accepted < len(records); {
		rest := records[accepted:]
		out := p.publish(ctx, &call[T]{records: rest[:min(most, len(rest))], deadline: deadline})
		accepted += out.Accepted
		if out.Err != nil {
			out.Accepted = accepted
			return out
		}
	}
	return Outcome{Accepted: len(records)}
}

// publish sees a call through.
func (p *Pipeline[T]) publish(ctx context.Context, c *call[T]) Outcome {
	lead, err := p.join(c)
	if err != nil {
		return refused(err)
	}
	if !lead {
		var out Outcome
		if lead, out = p.await(ctx, c); !lead {
			return out
		}
	}
	return p.lead(c)
}

// join queues c, and says whether it leads at once. A call that leads stays until
// Send has returned. One that does not may leave before that, so what it queues is a
// copy, which is made without the lock.
func (p *Pipeline[T]) join(c *call[T]) (lead bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.led && p.admits(c) == nil {
		p.mu.Unlock()
		if p.cfg.Copy != nil {
			p.cfg.Copy(c.records)
		}
		c.woken = make(chan struct{}, 1)
		p.mu.Lock()
	}
	if err := p.admits(c); err != nil {
		return false, err
	}
	p.queue = append(p.queue, c)
	p.waiting += len(c.records)
	lead, p.led = !p.led, true
	return lead, nil
}

// admits returns why c cannot join; nil if it can. Call it with mu held.
func (p *Pipeline[T]) admits(c *call[T]) error {
	switch {
	case p.idle != nil:
		return domain.ErrClosed
	case p.waiting+len(c.records) > p.cfg.MaxQueue:
		return fmt.Errorf("%d messages are waiting in the queue: %w", p.waiting, domain.ErrLimit)
	}
	return nil
}

// await waits until c has its outcome, or leads. If the caller's context or its
// deadline ends first, c leaves: with nothing sent if it was still in the queue,
// else with the outcome unknown.
func (p *Pipeline[T]) await(ctx context.Context, c *call[T]) (lead bool, out Outcome) {
	timer := time.NewTimer(time.Until(c.deadline))
	defer timer.Stop()
	var why error
	select {
	case <-c.woken:
	case <-ctx.Done():
		why = ctx.Err()
	case <-timer.C:
		why = fmt.Errorf("%w: no answer in time", domain.ErrBusDown)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.state == done:
		return false, c.outcome
	case why == nil:
		return true, Outcome{}
	case c.state == sent:
		return false, Outcome{Err: why}
	}
	p.remove(c)
	if c.state == leading {
		p.passLead()
	}
	return false, refused(why)
}

// remove takes c out of the queue. Call it with mu held.
func (p *Pipeline[T]) remove(c *call[T]) {
	// A call that leaves has usually waited longest, so the search is short.
	i := slices.Index(p.queue, c)
	p.queue = slices.Delete(p.queue, i, i+1)
	p.waiting -= len(c.records)
}

// lead makes one commit, and passes the lead on.
func (p *Pipeline[T]) lead(c *call[T]) Outcome {
	p.take()
	if p.cfg.Prepare != nil {
		p.cfg.Prepare(p.records)
	}
	// The deadline is the leader's, which may be earlier than those of others in the
	// commit. The leader's context does not count: the others rely on it.
	ctx := &deadlineContext{deadline: c.deadline}
	errs := p.cfg.Send(ctx, p.records)
	ctx.end()
	if errs != nil && len(errs) != len(p.records) {
		why := fmt.Errorf("the driver answered for %d of %d records", len(errs), len(p.records))
		all := errors.Join(append(slices.Clone(errs), why)...)
		errs = slices.Repeat([]error{all}, len(p.records))
	}
	p.settle(errs)
	return c.outcome
}

// take moves the calls of one commit from the queue to p.calls, and their records
// to p.records.
func (p *Pipeline[T]) take() {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.commitSize()
	for _, c := range p.queue[:n] {
		c.state = sent
		p.waiting -= len(c.records)
		p.calls = append(p.calls, c)
		p.records = append(p.records, c.records...)
	}
	p.queue = slices.Delete(p.queue, 0, n)
}

// commitSize is how many calls from the head of the queue make one commit. Call it
// with mu held.
func (p *Pipeline[T]) commitSize() int {
	total := 0
	for i, c := range p.queue {
		if total += len(c.records); total > maxCommit {
			return i
		}
	}
	return len(p.queue)
}

// settle gives each call of the commit its records back, and its outcome, from the errors
// of Send.
func (p *Pipeline[T]) settle(errs []error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent := p.records
	for _, c := range p.calls {
		c.outcome = Outcome{Accepted: len(c.records)}
		sent = sent[copy(c.records, sent):]
		if errs != nil {
			c.outcome, errs = p.outcomeOf(errs[:len(c.records)]), errs[len(c.records):]
		}
		c.state = done
		if c.woken != nil {
			c.wake()
		}
	}
	clear(p.calls)
	clear(p.records)
	p.calls, p.records = p.calls[:0], p.records[:0]
	p.passLead()
}

// outcomeOf makes one call's outcome from the errors for its records.
func (p *Pipeline[T]) outcomeOf(errs []error) Outcome {
	for i, err := range errs {
		if err != nil {
			certain := !slices.ContainsFunc(errs[i:], mayBeTaken)
			return Outcome{Accepted: i, Refused: certain, Err: p.explain(err)}
		}
	}
	return Outcome{Accepted: len(errs)}
}

// explain is Config.Explain, if there is one.
func (p *Pipeline[T]) explain(err error) error {
	if p.cfg.Explain == nil {
		return err
	}
	return p.cfg.Explain(err)
}

// mayBeTaken says whether a record may have been taken, of which Send says err.
// It has certainly not been if the bus answered that it does not take it, or if no
// bus could take it.
func mayBeTaken(err error) bool {
	for _, no := range []error{domain.ErrBusRefused, domain.ErrTooLarge, domain.ErrInvalid} {
		if errors.Is(err, no) {
			return false
		}
	}
	return true
}

// passLead makes the newest call of the next commit lead; if nobody is in the queue,
// nobody leads. Call it with mu held.
func (p *Pipeline[T]) passLead() {
	if len(p.queue) > 0 {
		c := p.queue[p.commitSize()-1]
		c.state = leading
		c.wake()
		return
	}
	p.led = false
	if p.idle != nil {
		close(p.idle)
	}
}

// Close refuses new calls and waits for those under way. Call it once.
func (p *Pipeline[T]) Close() {
	p.mu.Lock()
	p.idle = make(chan struct{})
	if !p.led {
		close(p.idle)
	}
	idle := p.idle
	p.mu.Unlock()
	<-idle
}
