package faulty

import (
	"context"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A Plan says what will happen to the next messages of a topic. Exactly one of
// the faults must be set.
type Plan struct {
	Drop       bool          // the links do not receive it; on a lossy bus only
	Delay      time.Duration // the links receive it, and everything after it, later by this
	Twice      bool          // the bus takes it twice
	LostAnswer bool          // the bus takes it, and the publisher is told that it failed

	Links []*Link // those whose feeds drop or delay; none: all
}

// A plan is a Plan that is being carried out.
type plan struct {
	Plan
	left int // messages that it will still be used on
}

// marks are the plans that apply to an entry.
type marks struct {
	published     time.Time
	drops, delays []*plan
}

// due returns when a link receives the entry.
func (m *marks) due(l *Link) (due time.Time) {
	for _, p := range m.delays {
		if at := m.published.Add(p.Delay); p.concerns(l) && at.After(due) {
			due = at
		}
	}
	return due
}

func (m *marks) drop(l *Link) bool {
	return slices.ContainsFunc(m.drops, func(p *plan) bool { return p.concerns(l) })
}

// Plan decides what happens to the next n messages that are published on a topic.
// Messages that Config.Spare names do not count.
func (b *Bus) Plan(topic string, n int, p Plan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > 0 {
		b.plans[topic] = append(b.plans[topic], &plan{p, n})
	}
}

// Unplan ends all plans, delays included.
func (b *Bus) Unplan() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.plans)
	clear(b.marks)
	for f := range b.feeds {
		f.nudge()
	}
}

// Delays reports whether a delayed message of a topic has yet to reach a link. The
// messages after it wait as well.
func (b *Bus) Delays(topic string, l *Link) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.marks[topic] {
		if m.due(l).After(time.Now()) {
			return true
		}
	}
	return false
}

// publishPlanned publishes the records one by one if a plan applies to one of them.
// mu must be held.
func (b *Bus) publishPlanned(ctx context.Context, records []transport.Outgoing) (errs []error, planned bool) {
	if !slices.ContainsFunc(records, func(r transport.Outgoing) bool { return len(b.plans[r.Topic]) > 0 }) {
		return nil, false
	}
	errs = make([]error, len(records))
	failed := false
	for i, r := range records {
		errs[i] = b.publishOne(ctx, r)
		failed = failed || errs[i] != nil
	}
	if !failed {
		return nil, true
	}
	return errs, true
}

func (b *Bus) publishOne(ctx context.Context, r transport.Outgoing) error {
	use := b.use(r)
	copies := 1
	at := marks{published: time.Now()}
	for _, p := range use {
		switch {
		case p.Twice:
			copies = 2
		case p.Drop:
			at.drops = append(at.drops, p)
		case p.Delay > 0:
			at.delays = append(at.delays, p)
		}
	}
	for range copies {
		if errs := b.bus.Publish(ctx, []transport.Outgoing{r}); errs != nil {
			return errs[0]
		}
		b.note(r)
		b.mark(ctx, r.Topic, at)
	}
	if slices.ContainsFunc(use, func(p *plan) bool { return p.LostAnswer }) {
		return errLost
	}
	return nil
}

// use returns the plans that apply to a record, and counts the record in them.
func (b *Bus) use(r transport.Outgoing) (used []*plan) {
	if b.cfg.Spare != nil && b.cfg.Spare(r.Message.Payload) {
		return nil
	}
	used = slices.Clone(b.plans[r.Topic])
	for _, p := range used {
		p.left--
	}
	b.plans[r.Topic] = slices.DeleteFunc(b.plans[r.Topic], func(p *plan) bool { return p.left == 0 })
	return used
}

// mark records what will happen to the newest entry of a topic.
func (b *Bus) mark(ctx context.Context, topic string, m marks) {
	if len(m.drops)+len(m.delays) == 0 {
		return
	}
	at, err := b.bus.Tail(ctx, topic)
	if err != nil {
		return // the bus is closed
	}
	if b.marks[topic] == nil {
		b.marks[topic] = make(map[domain.Position]*marks)
	}
	b.marks[topic][at] = &m
}

// concerns reports whether a plan applies to a link.
func (p *plan) concerns(l *Link) bool { return len(p.Links) == 0 || slices.Contains(p.Links, l) }
