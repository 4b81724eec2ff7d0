package receipt

import (
	"context"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// errNobody says that a message is for nobody who could be waited for.
var errNobody = &domain.FieldError{
	Path: "to", Problem: "only users and sessions can be waited for: want one at least",
}

const (
	// lookEach is how often a wait looks at what is known, at least.
	lookEach = 100 * time.Millisecond
	// askLeast is how often it asks again for as long as a node has not read the message,
	// which nodes on a bus without a log may never do.
	askLeast = 2 * time.Second
)

// An expectation waits for the receipts of a message that is about to be published.
type expectation struct {
	desk   *Desk
	m      message
	lease  *stream.Lease
	place  <-chan domain.Cursor
	forget func()
}

// Expect prepares to wait for the receipts of a message, which has an id and wants them. It is
// called before the message is published; done must follow. Wait, which may be called once
// before that, waits until every user and session that the message is for has a state, which
// is [control.FateAcked] or [control.FateWritten], or until a time is over, which counts up to
// [MaxWait], and returns what became of the message.
//
// The error wraps [domain.ErrInvalid] if it is for no user and no session, [domain.ErrLimit]
// if Config.Waits wait already, or it is one of [stream.Hub.Acquire].
func (d *Desk) Expect(ctx context.Context, system domain.System, m *domain.Message) (
	wait func(ctx context.Context, want control.Fate, within time.Duration) control.ReceiptReport,
	done func(), err error,
) {
	nobody := true
	for _, t := range m.To {
		nobody = nobody && !isSingle(t)
	}
	if nobody {
		return nil, nil, errNobody
	}
	select {
	case d.waits <- struct{}{}:
	default:
		return nil, nil, fmt.Errorf("%d publishes wait for receipts: %w", cap(d.waits), domain.ErrLimit)
	}
	e := &expectation{
		desk: d, m: message{system: system, id: m.ID, to: m.To, wanted: true}, forget: func() {},
	}
	if e.lease, err = d.streams.Acquire(ctx, "", system); err == nil {
		var forget func()
		if e.place, forget, err = e.lease.Await(m.ID); err == nil {
			e.forget = forget
			return e.wait, e.close, nil
		}
	}
	e.close()
	return nil, nil, err
}

func (e *expectation) close() {
	e.forget()
	if e.lease != nil {
		e.lease.Release()
	}
	<-e.desk.waits
}

// wait is what Expect returns.
func (e *expectation) wait(ctx context.Context, want control.Fate, within time.Duration) control.ReceiptReport {
	within = min(within, MaxWait)
	waiting, stop := context.WithTimeout(ctx, within)
	defer stop()
	if !e.locate(waiting) {
		return e.unread()
	}
	all := e.await(waiting, want, within)
	if r := e.desk.known(e.m, all); reached(&r, want) && e.isOnlySingle() {
		return r
	}
	return e.desk.report(ctx, e.m, "", MaxLimit, 0)
}

// locate waits until this node has read the message.
func (e *expectation) locate(ctx context.Context) (known bool) {
	select {
	case at := <-e.place:
		e.m.at, e.m.logged = at, at.Time.UnixMilli()
	case <-ctx.Done():
		return false
	}
	if !e.m.at.IsZero() {
		return true
	}
	first, found, err := e.desk.find(ctx, e.m.system, e.m.id) // it repeats an earlier one
	if err != nil || !found {
		return false
	}
	e.m.at, e.m.logged = first.at, first.logged
	return true
}

// unread is the report of a message that this node has not read in time.
func (e *expectation) unread() control.ReceiptReport {
	r := control.ReceiptReport{ID: e.m.id, System: e.m.system.String(), Wanted: true}
	for _, to := range e.m.to {
		t := control.TargetReport{To: to.String(), Counts: map[control.Fate]int{}, Sessions: []control.SessionReport{}}
		if isSingle(to) {
			t.State = control.FatePending
		}
		r.Receipts = append(r.Receipts, t)
	}
	return r
}

func (e *expectation) isOnlySingle() bool {
	for _, t := range e.m.to {
		if !isSingle(t) {
			return false
		}
	}
	return true
}

// await asks the nodes, and then looks at what becomes known until that is enough or ctx has
// ended. It returns what the nodes have answered.
func (e *expectation) await(ctx context.Context, want control.Fate, within time.Duration) (all asked) {
	d := e.desk
	answers := make(chan asked, 1)
	asking, stop := context.WithCancel(ctx)
	go func() { answers <- d.ask(asking, e.m.single(), "", MaxLimit, within) }()
	answered, again := false, lookEach
	defer func() {
		if stop(); !answered {
			<-answers
		}
	}()
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for {
		changed := d.changed()
		if r := d.known(e.m, all); reached(&r, want) {
			return all
		}
		select {
		case a := <-answers:
			answered = true
			if all = a; d.hasNotRead(a) { // some node is behind this one
				answered = false
				go func(wait time.Duration) {
					pause.For(asking, wait)
					answers <- d.ask(asking, e.m.single(), "", MaxLimit, within)
				}(again)
				again = min(2*again, askLeast)
			}
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return all
		}
	}
}

// single returns the message as if it were for those of its targets alone that have a state.
func (m message) single() message {
	var to []domain.Target
	for _, t := range m.to {
		if isSingle(t) {
			to = append(to, t)
		}
	}
	m.to = to
	return m
}

// hasNotRead reports whether a node does not know yet where the message is.
func (d *Desk) hasNotRead(a asked) bool {
	for _, p := range a.parts {
		if p.At == "" {
			return true
		}
	}
	return false
}

// changed returns a channel that is closed when a mark may have changed; nil without marks.
func (d *Desk) changed() <-chan struct{} {
	if d.marks == nil {
		return nil
	}
	return d.marks.Changed()
}

// known returns a report on the targets that have a state: what this node knows now, with
// what the others have answered before.
func (d *Desk) known(m message, a asked) control.ReceiptReport {
	m = m.single()
	r := control.ReceiptReport{
		ID: m.id, System: m.system.String(), Cursor: m.at.String(), Wanted: true,
		Complete: a.complete, Silent: a.silent, Receipts: make([]control.TargetReport, len(m.to)),
	}
	for i, to := range m.to {
		c := newCollection()
		d.addOwn(c, m.system, m.at, to)
		for _, p := range a.parts {
			for _, s := range p.Targets[i].Sessions {
				c.add(s)
			}
		}
		if d.marks != nil {
			d.addNewer(c, m, to, a)
		}
		page := c.page("", MaxLimit)
		t := control.TargetReport{To: to.String(), Counts: page.Counts, Sessions: page.Sessions}
		if t.Sessions == nil {
			t.Sessions = []control.SessionReport{}
		}
		t.State = stateOf(t.Counts, false)
		r.Receipts[i] = t
	}
	return r
}

// addNewer adds what other nodes have said since they were asked.
func (d *Desk) addNewer(c *collection, m message, to domain.Target, a asked) {
	d.eachMark(m.system, to, func(mark *control.Mark, mine, alive bool) {
		if mine {
			return
		}
		at := m.at
		if p, answered := a.parts[mark.Incarnation]; answered && p.At != "" {
			if own, err := domain.ParseCursor(p.At); err == nil {
				at = own
			}
		}
		if x := fateOf(mark, at, alive); x.Fate != control.FateNone {
			c.add(sessionOf(&x))
		}
	})
}
