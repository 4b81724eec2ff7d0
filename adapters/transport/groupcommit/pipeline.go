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

// maxBatch is the most records that are sent at once.
const maxBatch = 512

// A Pipeline is a group commit: of the calls that publish at the same time one
// leads and sends what all of them have queued; the next one to lead is chosen
// among those that queued meanwhile. There is no goroutine of its own, and
// nobody lingers for company. It is safe for concurrent use.
type Pipeline[T any] struct {
	cfg Config[T]

	mu      sync.Mutex
	queue   []*call[T]    // in order; guarded by mu
	waiting int           // records in queue; guarded by mu
	led     bool          // some call leads; guarded by mu
	idle    chan struct{} // not nil: closed to new calls, and closed when the last leader is done; guarded by mu

	// The leader's alone, kept from one leader to the next.
	batch   []*call[T]
	records []T
}

// Config says what a Pipeline does with records. Send and MaxQueue are needed.
type Config[T any] struct {
	// Send sends records in the order given. It returns nil if there was no
	// error at all, else a slice as long as records, with an error in the place of
	// each record that was not taken or for which that is unknown. It keeps
	// nothing of records.
	Send func(ctx context.Context, records []T) []error
	// Prepare changes what is about to be sent, in the order of the wire. It keeps
	// nothing of records. It may be nil.
	Prepare func(records []T)
	// Copy puts copies in the place of records that their publisher could change
	// while the Pipeline still has them. It may be nil: then nobody changes them.
	Copy func(records []T)
	// Explain makes of an error of Send what the caller is told. It may be nil.
	Explain func(err error) error
	// MaxQueue is the most records that wait.
	MaxQueue int
}

// New returns a Pipeline.
func New[T any](cfg Config[T]) *Pipeline[T] { return &Pipeline[T]{cfg: cfg} }

// A call is one publish in a pipeline.
type call[T any] struct {
	records  []T // at most maxBatch
	deadline time.Time

	woken chan struct{} // one signal: lead, or done; nil for who leads at once
	state callState     // guarded by the pipeline's mu
	Outcome
}

type callState uint8

const (
	queued  callState = iota
	leading           // chosen to lead, still in the queue
	sent              // with the driver
	done
)

// An Outcome is what became of a publish.
type Outcome struct {
	Accepted int  // how many records were taken: all, or those before the first that was not
	Refused  bool // none of the rest was taken: that is certain
	Err      error
}

func refused(err error) Outcome { return Outcome{Refused: true, Err: err} }

// Publish queues records, in order, and returns when they were sent, or when ctx
// or the deadline ends. In the queue that takes them out again; once they are on
// the wire their outcome is unknown. A call that leads waits for Send: the others
// rely on it. The slice is the Pipeline's from now on; what the records refer to
// is the caller's again when Publish returns.
//
// The error of the outcome is what Explain makes of Send's;
// domain.ErrBusDown after the deadline; domain.ErrLimit if the queue is full;
// domain.ErrClosed after Close; and ctx.Err() as it is when ctx has ended.
func (p *Pipeline[T]) Publish(ctx context.Context, deadline time.Time, records []T) Outcome {
	// A long call goes in parts, one after the other: so it can neither fill
	// the queue alone nor hold up its neighbours.
	most := min(maxBatch, p.cfg.MaxQueue)
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

// publish sees the call through.
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

// join puts c in line and says whether it leads at once. Whoever leads stays
// until the driver is done with its messages. Whoever follows may leave before
// that, so what it queues is a copy.
func (p *Pipeline[T]) join(c *call[T]) (lead bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.led && p.room(c) == nil {
		p.mu.Unlock()
		if p.cfg.Copy != nil {
			p.cfg.Copy(c.records)
		}
		c.woken = make(chan struct{}, 1)
		p.mu.Lock()
	}
	if err := p.room(c); err != nil {
		return false, err
	}
	p.queue = append(p.queue, c)
	p.waiting += len(c.records)
	lead, p.led = !p.led, true
	return lead, nil
}

// room says why c cannot join. Call it with mu held.
func (p *Pipeline[T]) room(c *call[T]) error {
	switch {
	case p.idle != nil:
		return domain.ErrClosed
	case p.waiting+len(c.records) > p.cfg.MaxQueue:
		return fmt.Errorf("%d messages are waiting in line: %w", p.waiting, domain.ErrLimit)
	}
	return nil
}

// await waits until c has its outcome, or has to lead. When the caller's
// context or its time ends first, c leaves: with nothing sent if it was still
// in the queue, else with the outcome unknown.
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
		return false, c.Outcome
	case why == nil:
		return true, Outcome{}
	case c.state == sent:
		return false, Outcome{Err: why}
	}
	p.remove(c)
	if c.state == leading {
		p.appoint()
	}
	return false, refused(why)
}

// remove takes c out of the queue. Call it with mu held.
func (p *Pipeline[T]) remove(c *call[T]) {
	// Who leaves has mostly waited longest, so the search is short.
	i := slices.Index(p.queue, c)
	p.queue = slices.Delete(p.queue, i, i+1)
	p.waiting -= len(c.records)
}

// lead makes one commit and passes the lead on.
func (p *Pipeline[T]) lead(c *call[T]) Outcome {
	p.take()
	if p.cfg.Prepare != nil {
		p.cfg.Prepare(p.records)
	}
	// All calls get the same time when they join, so a leader chosen among the
	// newest has as much left as any in its batch. Its context does not count:
	// the others rely on it.
	ctx, cancel := context.WithDeadline(context.Background(), c.deadline)
	errs := p.cfg.Send(ctx, p.records)
	cancel()
	if errs != nil && len(errs) != len(p.records) {
		why := fmt.Errorf("the driver answered for %d of %d records", len(errs), len(p.records))
		errs = slices.Repeat([]error{errors.Join(append(slices.Clone(errs), why)...)}, len(p.records))
	}
	p.settle(errs)
	return c.Outcome
}

// take moves one commit from the queue into the leader's hands.
func (p *Pipeline[T]) take() {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.fitting()
	for _, c := range p.queue[:n] {
		c.state = sent
		p.waiting -= len(c.records)
		p.batch = append(p.batch, c)
		p.records = append(p.records, c.records...)
	}
	p.queue = slices.Delete(p.queue, 0, n)
}

// fitting is how many calls from the head of the queue make one commit. Call it
// with mu held.
func (p *Pipeline[T]) fitting() int {
	total := 0
	for i, c := range p.queue {
		if total += len(c.records); total > maxBatch {
			return i
		}
	}
	return len(p.queue)
}

// settle gives each call of the commit its outcome.
func (p *Pipeline[T]) settle(errs []error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.batch {
		c.Outcome = Outcome{Accepted: len(c.records)}
		if errs != nil {
			c.Outcome, errs = p.judge(errs[:len(c.records)]), errs[len(c.records):]
		}
		c.state = done
		if c.woken != nil {
			c.wake()
		}
	}
	clear(p.batch)
	clear(p.records)
	p.batch, p.records = p.batch[:0], p.records[:0]
	p.appoint()
}

// judge reads one call's outcome from the driver's errors for its messages.
func (p *Pipeline[T]) judge(errs []error) Outcome {
	for i, err := range errs {
		if err != nil {
			certain := !slices.ContainsFunc(errs[i:], unsure)
			return Outcome{Accepted: i, Refused: certain, Err: p.explain(err)}
		}
	}
	return Outcome{Accepted: len(errs)}
}

func (p *Pipeline[T]) explain(err error) error {
	if p.cfg.Explain == nil {
		return err
	}
	return p.cfg.Explain(err)
}

// unsure says whether the bus may have a record of which a driver says err.
// It has none that no bus could take.
func unsure(err error) bool {
	for _, no := range []error{domain.ErrBusRefused, domain.ErrTooLarge, domain.ErrInvalid} {
		if errors.Is(err, no) {
			return false
		}
	}
	return true
}

// appoint makes the newest call of the next commit its leader. Call it with mu
// held.
func (p *Pipeline[T]) appoint() {
	if len(p.queue) > 0 {
		c := p.queue[p.fitting()-1]
		c.state = leading
		c.wake()
		return
	}
	p.led = false
	if p.idle != nil {
		close(p.idle)
	}
}

// wake never blocks: it finds room, or the signal is there already.
func (c *call[T]) wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// Close refuses new calls and waits for those under way.
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
