package receipt

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A Finder finds messages by their ids: a router.Reader does.
type Finder interface {
	Find(ctx context.Context, system domain.System, id string) ([]stream.Found, bool, error)
}

// Streams are those of the node: a [stream.Hub] has them.
type Streams interface {
	Acquire(ctx context.Context, user string, system domain.System) (*stream.Lease, error)
	Streams() []*stream.Stream
}

// Sessions are those of the node: a session.Registry has them. Deliveries calls yield for
// those that a message at a location was for through a target.
type Sessions interface {
	Deliveries(system domain.System, at domain.Location, to domain.Target, yield func(control.Delivery))
}

// An Asker asks all live nodes something: a plane.Plane does.
type Asker interface {
	Ask(ctx context.Context, kind string, body []byte) (control.Answers, error)
}

// Marks are what is known of the sessions of all nodes: a plane.Plane has them. Its methods
// are those of [control.Machine].
type Marks interface {
	Marks(system domain.System, user string, yield func(mark *control.Mark, mine, alive bool))
	Hurry(system domain.System, user string, within time.Duration)
	Lost(logged int64) (nodes []string)
	// Changed returns a channel that is closed when a mark may have changed.
	Changed() <-chan struct{}
}

// Kind is that of the questions that a Desk asks the nodes, and that [Desk.Answer] answers.
const Kind = "receipts"

// What a [Config] has where nothing else is said, and bounds.
const (
	DefaultWaits = 1000             // calls of Await that wait at a time
	MaxWait      = 30 * time.Second // the longest that one waits
	MaxLimit     = 100              // sessions in one report

	askTime = 2 * time.Second // for nodes to answer
)

// Config tunes a [Desk]. Node is required.
type Config struct {
	Node  string // this node's name
	Waits int    // most calls of Await that wait at a time; default DefaultWaits
}

// A Desk says what became of messages. It is safe for concurrent use. Every goroutine that it
// starts has ended when the call that started it returns.
type Desk struct {
	cfg      Config
	finder   Finder
	streams  Streams
	sessions Sessions
	asker    Asker
	marks    Marks // nil if the control plane is off
	waits    chan struct{}
}

// New returns a Desk. Marks may be nil: then nothing is known of sessions that have ended,
// nor of other nodes.
func New(f Finder, s Streams, sessions Sessions, asker Asker, marks Marks, cfg Config) *Desk {
	if cfg.Waits == 0 {
		cfg.Waits = DefaultWaits
	}
	return &Desk{
		cfg: cfg, finder: f, streams: s, sessions: sessions, asker: asker, marks: marks,
		waits: make(chan struct{}, cfg.Waits),
	}
}

// A message is what is asked about.
type message struct {
	system domain.System
	id     string
	at     domain.Cursor // on this node
	logged int64         // when the log took it, in Unix milliseconds
	to     []domain.Target
	wanted bool // it wants receipts
}

// Receipts returns what became of a message, with at most limit sessions whose ids come after
// one. It takes up to some seconds. Found is false if there is no such message, or not any
// more, as far as was looked. The error is one of the [Finder].
func (d *Desk) Receipts(
	ctx context.Context, system domain.System, id, after string, limit int,
) (_ control.ReceiptReport, found bool, _ error) {
	m, found, err := d.find(ctx, system, id)
	if err != nil || !found {
		return control.ReceiptReport{}, false, err
	}
	return d.report(ctx, m, after, min(limit, MaxLimit), 0), true, nil
}

// find returns the first message with an id.
func (d *Desk) find(ctx context.Context, system domain.System, id string) (_ message, found bool, _ error) {
	all, _, err := d.finder.Find(ctx, system, id)
	if err != nil {
		return message{}, false, err
	}
	for i := range all {
		f := &all[i]
		if f.Message != nil && f.DuplicateOf.IsZero() {
			return message{
				system: system, id: id, at: f.Cursor, logged: f.LoggedAt.UnixMilli(),
				to: f.Message.To, wanted: f.Message.Receipt,
			}, true, nil
		}
	}
	return message{}, false, nil
}

// report asks all nodes what became of a message. With hurry, they tell at once for that long
// what changes.
func (d *Desk) report(
	ctx context.Context, m message, after string, limit int, hurry time.Duration,
) control.ReceiptReport {
	return d.merge(m, d.ask(ctx, m, after, limit, hurry), after, limit)
}

// An asked is what the nodes have answered.
type asked struct {
	parts    map[string]part // by incarnation
	complete bool
	silent   []string
}

func (d *Desk) ask(ctx context.Context, m message, after string, limit int, hurry time.Duration) (a asked) {
	q := query{System: m.system.String(), ID: m.id, At: m.at.String(), After: after, Limit: limit,
		Hurry: hurry.Milliseconds()}
	for _, t := range m.to {
		q.To = append(q.To, t.String())
	}
	body, err := json.Marshal(q)
	if err != nil {
		return a // not reached: it is made of texts and numbers
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answers, err := d.asker.Ask(ctx, Kind, body)
	a.complete, a.silent = err == nil && answers.Complete, answers.Silent
	a.parts = make(map[string]part, len(answers.From))
	for _, from := range answers.From {
		var p part
		if from.Err != "" || json.Unmarshal(from.Body, &p) != nil || len(p.Targets) != len(m.to) {
			a.complete = false
			a.silent = append(a.silent, from.Node)
			continue
		}
		a.parts[from.Incarnation] = p
	}
	return a
}

// merge makes a report of what nodes have answered and of what is known of the others.
func (d *Desk) merge(m message, a asked, after string, limit int) control.ReceiptReport {
	r := control.ReceiptReport{
		ID: m.id, System: m.system.String(), Cursor: m.at.String(), Wanted: m.wanted,
		Complete: a.complete, Silent: a.silent, Receipts: make([]control.TargetReport, len(m.to)),
	}
	if d.marks != nil {
		r.Lost = d.marks.Lost(m.logged)
	}
	sure := r.Complete && len(r.Lost) == 0
	for i, to := range m.to {
		c := newCollection()
		d.addOthers(c, m, to, a)
		all := []partTarget{c.page(after, limit)}
		for _, p := range a.parts {
			all = append(all, p.Targets[i])
		}
		r.Receipts[i] = joined(to, all, limit, sure)
	}
	r.Complete = sure
	return r
}

// joined makes one page of those of several nodes, which have nothing in common.
func joined(to domain.Target, parts []partTarget, limit int, sure bool) control.TargetReport {
	t := control.TargetReport{To: to.String(), Counts: map[control.Fate]int{}}
	all, last := []control.SessionReport{}, "" // not nil, which would be null in JSON
	for _, p := range parts {
		for fate, n := range p.Counts {
			t.Counts[fate] += n
		}
		all = append(all, p.Sessions...)
		if n := len(p.Sessions); p.More && n > 0 && (last == "" || p.Sessions[n-1].Session < last) {
			last = p.Sessions[n-1].Session // of what comes after it, some may be missing
		}
	}
	all, more := cut(all, limit)
	if last != "" {
		n, _ := slices.BinarySearchFunc(all, last+"\x00", func(s control.SessionReport, id string) int {
			return cmp.Compare(s.Session, id)
		})
		all, more = all[:n], true
	}
	if t.Sessions = all; more && len(all) > 0 {
		t.Next = all[len(all)-1].Session
	}
	if isSingle(to) {
		t.State = stateOf(t.Counts, sure)
	}
	return t
}

// addOthers adds the sessions of nodes that have not answered. Of a room nobody knows who was
// there.
func (d *Desk) addOthers(c *collection, m message, to domain.Target, a asked) {
	if d.marks == nil || to.Kind() == domain.KindRoom {
		return
	}
	d.eachMark(m.system, to, func(mark *control.Mark, mine, alive bool) {
		if _, answered := a.parts[mark.Incarnation]; answered || mine {
			return
		}
		if x := fateOf(mark, m.at, alive); x.Fate != control.FateNone {
			c.add(sessionOf(&x))
		}
	})
}

// eachMark calls yield for the marks of those that a target stands for.
func (d *Desk) eachMark(system domain.System, to domain.Target, yield func(*control.Mark, bool, bool)) {
	user := ""
	if to.Kind() == domain.KindUser {
		user = to.Name()
	}
	d.marks.Marks(system, user, func(mark *control.Mark, mine, alive bool) {
		if to.Kind() != domain.KindSession || mark.Session == to.Name() {
			yield(mark, mine, alive)
		}
	})
}
