package transport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

const (
	// shards is how many pipelines there are. A topic always has the same one,
	// which keeps its order.
	shards = 16
	// maxCommit is the most messages that go to the driver at once.
	maxCommit = 512
)

// A pipeline is a group commit: of the calls that publish at the same time one
// leads and sends what all of them have queued; the next one to lead is chosen
// among those that queued meanwhile. There is no goroutine of its own, and
// nobody lingers for company. It is safe for concurrent use.
type pipeline struct {
	send  func(context.Context, []Outgoing) []error
	stamp func([]Outgoing) // changes what is sent, in the order of the wire; may be nil
	note  func([]*call)    // is told what is sent, and keeps nothing of it; may be nil
	most  int              // messages in queue

	mu      sync.Mutex
	queue   []*call       // in order; guarded by mu
	waiting int           // messages in queue; guarded by mu
	led     bool          // some call leads; guarded by mu
	idle    chan struct{} // not nil: closed to new calls, and closed when the last leader is done; guarded by mu

	// The leader's alone, kept from one leader to the next.
	batch   []*call
	records []Outgoing
}

// A call is one publish in a pipeline.
type call struct {
	topic    string
	messages []*message.Message // at most maxCommit
	constant bool               // nobody ever changes the messages
	deadline time.Time

	woken chan struct{} // one signal: lead, or done; nil for who leads at once
	state callState     // guarded by the pipeline's mu
	outcome
}

type callState uint8

const (
	queued  callState = iota
	leading           // chosen to lead, still in the queue
	sent              // with the driver
	done
)

// An outcome is what became of a call.
type outcome struct {
	accepted int  // length of the accepted prefix
	refused  bool // the bus has none of the rest
	err      error
}

func refused(err error) outcome { return outcome{refused: true, err: err} }

// publish sees the call through.
func (p *pipeline) publish(ctx context.Context, c *call) outcome {
	lead, err := p.join(c)
	if err != nil {
		return refused(err)
	}
	if !lead {
		var out outcome
		if lead, out = p.await(ctx, c); !lead {
			return out
		}
	}
	return p.lead(c)
}

// join puts c in line and says whether it leads at once. Whoever leads stays
// until the driver is done with its messages. Whoever follows may leave before
// that, so what it queues is a copy.
func (p *pipeline) join(c *call) (lead bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.led && p.room(c) == nil {
		p.mu.Unlock()
		if !c.constant {
			c.messages = deepCopy(c.messages)
		}
		c.woken = make(chan struct{}, 1)
		p.mu.Lock()
	}
	if err := p.room(c); err != nil {
		return false, err
	}
	p.queue = append(p.queue, c)
	p.waiting += len(c.messages)
	lead, p.led = !p.led, true
	return lead, nil
}

// room says why c cannot join. Call it with mu held.
func (p *pipeline) room(c *call) error {
	switch {
	case p.idle != nil:
		return domain.ErrClosed
	case p.waiting+len(c.messages) > p.most:
		return fmt.Errorf("%d messages are waiting in line: %w", p.waiting, domain.ErrLimit)
	}
	return nil
}

// await waits until c has its outcome, or has to lead. When the caller's
// context or its time ends first, c leaves: with nothing sent if it was still
// in the queue, else with the outcome unknown.
func (p *pipeline) await(ctx context.Context, c *call) (lead bool, out outcome) {
	timer := time.NewTimer(time.Until(c.deadline))
	defer timer.Stop()
	var why error
	select {
	case <-c.woken:
	case <-ctx.Done():
		why = waitError(ctx.Err())
	case <-timer.C:
		why = fmt.Errorf("%w: no answer in time", domain.ErrBusDown)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.state == done:
		return false, c.outcome
	case why == nil:
		return true, outcome{}
	case c.state == sent:
		return false, outcome{err: why}
	}
	p.remove(c)
	if c.state == leading {
		p.appoint()
	}
	return false, refused(why)
}

// remove takes c out of the queue. Call it with mu held.
func (p *pipeline) remove(c *call) {
	// Who leaves has mostly waited longest, so the search is short.
	i := slices.Index(p.queue, c)
	p.queue = slices.Delete(p.queue, i, i+1)
	p.waiting -= len(c.messages)
}

// lead makes one commit and passes the lead on.
func (p *pipeline) lead(c *call) outcome {
	p.take()
	if p.stamp != nil {
		p.stamp(p.records)
	}
	if p.note != nil {
		p.note(p.batch)
	}
	// All calls get the same time when they join, so a leader chosen among the
	// newest has as much left as any in its batch. Its context does not count:
	// the others rely on it.
	ctx, cancel := context.WithDeadline(context.Background(), c.deadline)
	errs := p.send(ctx, p.records)
	cancel()
	if errs != nil && len(errs) != len(p.records) {
		why := fmt.Errorf("the driver answered for %d of %d records", len(errs), len(p.records))
		errs = slices.Repeat([]error{errors.Join(append(slices.Clone(errs), why)...)}, len(p.records))
	}
	p.settle(errs)
	return c.outcome
}

// take moves one commit from the queue into the leader's hands.
func (p *pipeline) take() {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.fitting()
	for _, c := range p.queue[:n] {
		c.state = sent
		p.waiting -= len(c.messages)
		p.batch = append(p.batch, c)
		for _, m := range c.messages {
			p.records = append(p.records, Outgoing{Topic: c.topic, Message: m})
		}
	}
	p.queue = slices.Delete(p.queue, 0, n)
}

// fitting is how many calls from the head of the queue make one commit. Call it
// with mu held.
func (p *pipeline) fitting() int {
	total := 0
	for i, c := range p.queue {
		if total += len(c.messages); total > maxCommit {
			return i
		}
	}
	return len(p.queue)
}

// settle gives each call of the commit its outcome.
func (p *pipeline) settle(errs []error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.batch {
		c.outcome = outcome{accepted: len(c.messages)}
		if errs != nil {
			c.outcome, errs = judge(errs[:len(c.messages)]), errs[len(c.messages):]
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
func judge(errs []error) outcome {
	for i, err := range errs {
		if err != nil {
			certain := !slices.ContainsFunc(errs[i:], unsure)
			return outcome{accepted: i, refused: certain, err: busError(err)}
		}
	}
	return outcome{accepted: len(errs)}
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
func (p *pipeline) appoint() {
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
func (c *call) wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// close refuses new calls and waits for those under way.
func (p *pipeline) close() {
	p.mu.Lock()
	p.idle = make(chan struct{})
	if !p.led {
		close(p.idle)
	}
	idle := p.idle
	p.mu.Unlock()
	<-idle
}

// deepCopy copies all that a publisher could change later, with three
// allocations and one for each message's metadata.
func deepCopy(messages []*message.Message) []*message.Message {
	size := 0
	for _, m := range messages {
		size += len(m.Payload)
	}
	payloads := make([]byte, 0, size)
	values := make([]message.Message, len(messages))
	copies := make([]*message.Message, len(messages))
	for i, m := range messages {
		c := &values[i]
		c.UUID = m.UUID
		c.SetContext(m.Context())
		if len(m.Metadata) > 0 {
			c.Metadata = make(message.Metadata, len(m.Metadata))
			for k, v := range m.Metadata {
				c.Metadata[k] = v
			}
		}
		start := len(payloads)
		payloads = append(payloads, m.Payload...)
		c.Payload = payloads[start:len(payloads):len(payloads)]
		copies[i] = c
	}
	return copies
}
