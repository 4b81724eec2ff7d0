package plane

import (
	"context"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// Command makes the fact k true on all nodes for ttl, or untrue if del is set. It is applied
// on this node at once.
//
// With wait 0 it returns when the bus has the fact, and the outcome has only an id.
// Otherwise it returns when all live nodes have applied the fact, or when wait, which counts
// up to [MaxWait], is over: then the outcome names those that have not, which is no error.
//
// The error wraps [domain.ErrInvalid]; [domain.ErrLimit] if there are too many facts, or
// [MaxWaits] commands wait already; [domain.ErrClosed] if the node has ended before the bus
// had the fact; and [domain.ErrBusDown] if the bus did not take the fact in time, or the
// context's error if that ends first. In the last two cases the outcome has the id, the fact
// holds on this node, which goes on trying, and repeating the command is safe.
func (p *Plane) Command(
	ctx context.Context, k control.Key, v control.Value, ttl time.Duration,
	del bool, wait time.Duration,
) (control.Outcome, error) {
	wait = min(max(wait, 0), MaxWait)
	id, err := p.begin(k, v, ttl, del, wait > 0)
	if err != nil {
		return control.Outcome{}, err
	}
	defer p.end(id)
	p.retry.Store(true)
	p.nudge()

	// The fact may have to wait for a message that is on its way, and for the next one.
	inTime := time.NewTimer(p.cfg.PublishTimeout + 2*p.cfg.Interval)
	defer inTime.Stop()
	over := time.NewTimer(wait)
	defer over.Stop()
	for isOver, isLate := false, false; ; {
		c := p.look(id)
		if c.saved && (isOver || c.complete || wait == 0) {
			return c.shown(wait), nil
		}
		if !c.saved && isLate {
			return c.shown(wait), fmt.Errorf("this node has applied it, but the bus did not take it in time: "+
				"it goes on trying; repeating is safe: %w", domain.ErrBusDown)
		}
		select {
		case <-c.changed:
		case <-inTime.C:
			isLate = true
		case <-over.C:
			isOver = true
		case <-ctx.Done():
			return c.shown(wait), ctx.Err()
		case <-p.done:
			if c = p.look(id); c.saved {
				return c.shown(wait), nil
			}
			return c.shown(wait), fmt.Errorf("plane: the node has ended: %w", domain.ErrClosed)
		}
	}
}

// begin gives the machine a command.
func (p *Plane) begin(
	k control.Key, v control.Value, ttl time.Duration, del, await bool,
) (id string, err error) {
	select {
	case <-p.done:
		return "", fmt.Errorf("plane: the node has ended: %w", domain.ErrClosed)
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits >= MaxWaits {
		return "", fmt.Errorf("%d commands wait for other nodes or the bus: %w", p.waits, domain.ErrLimit)
	}
	if del {
		id, err = p.machine.Delete(p.now(), k, await)
	} else {
		id, err = p.machine.Put(p.now(), k, v, ttl, await)
	}
	if err == nil {
		p.waits++
	}
	return id, err
}

func (p *Plane) end(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits--
	p.machine.Forget(id)
}

// A course is how far a command has come.
type course struct {
	outcome  control.Outcome
	saved    bool            // the bus has it
	complete bool            // every live node has applied it
	changed  <-chan struct{} // closed when that may have changed
}

// look returns how far a command has come.
func (p *Plane) look(id string) (c course) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.saved = p.machine.Saved(id)
	c.outcome, c.complete = p.machine.Outcome(id)
	c.outcome.ID = id
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	c.changed = p.changed
	return c
}

// shown returns what the caller is told: only the id if it did not want to wait.
func (c *course) shown(wait time.Duration) control.Outcome {
	if wait == 0 {
		return control.Outcome{ID: c.outcome.ID}
	}
	return c.outcome
}
