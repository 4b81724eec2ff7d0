package plane

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// A Bus is where the control topic is read. The messages of its subscribers carry batches
// of entries ([domain.EntriesFrom]); subscriptions begin age back, as far as the bus keeps
// a log. While a node's bus is moved, there are two.
type Bus interface {
	BatchesSince(age time.Duration) message.Subscriber
}

// A Publisher puts payloads on a topic as they are, in their order. It bounds by itself how
// long that takes, and returns how many from the first one on the bus has taken for
// certain. The payloads remain the caller's. It is called by several goroutines.
type Publisher interface {
	PublishRaw(ctx context.Context, topic string, payloads ...[]byte) (accepted int, err error)
}

// A Node is what a [Plane] acts on: the sessions of the node. Its methods are called one at
// a time, without a lock, and do not wait.
type Node interface {
	// Disconnect closes the sessions of a user and returns how many there were;
	// DisconnectSession closes one and reports whether it was there.
	Disconnect(user string, v control.Value) int
	DisconnectSession(id string, v control.Value) bool
	// Review says that a fact about a user has changed: sessions that [Plane.Check]
	// refuses are closed, and the others are in the rooms that [Plane.Rooms] says. It
	// returns how many were closed.
	Review(user string) (closed int)
	// ReviewToken says the same of the sessions with a token, by its jti.
	ReviewToken(jti string) (closed int)
	// Rebalance asks sessions to go, or no more of them.
	Rebalance(v control.Value)
	// PresenceChanged says who came to and went from a place that is watched.
	PresenceChanged(c control.Change)

	// Marks returns the marks of sessions that have changed since the last call, at most
	// that many, and whether there are more.
	Marks(most int) (marks []control.Mark, more bool)

	// Status says how the node is.
	Status() control.Status
	// Ended is closed when the node lets nobody in any more and no session is left.
	Ended() <-chan struct{}
}

// A Plane is a node's part in the control plane. It is safe for concurrent use.
type Plane struct {
	cfg   Config
	topic string
	buses []Bus
	out   Publisher
	born  time.Time // Now.Mono counts from here

	reading  []*trouble // of each of buses
	writing  *trouble
	troubles []*trouble // all of them
	speech   speech

	wake   chan struct{} // holds a token if Run has something to do before its next tick
	status chan struct{} // holds a token if Node.Status has changed

	done     chan struct{} // closed when Run has said that the node has ended
	panics   atomic.Uint64
	retry    atomic.Bool  // a message may be published although the last one failed a moment ago
	readyAt  atomic.Int64 // Now.Mono from which the node is ready in any case; 0 before Run
	refusals refusals

	mu      sync.Mutex
	machine *control.Machine // guarded by mu
	backlog backlog          // guarded by mu
	changed chan struct{}    // closed when an outcome may have changed; nil if nobody waits; guarded by mu
	waits   int              // commands that wait; guarded by mu
	busDown bool             // guarded by mu
}

// New returns a Plane that reads from the buses and publishes with out. [Plane.Run] makes it
// work; before that, it answers from what it was told.
func New(buses []Bus, out Publisher, cfg Config) *Plane {
	cfg = cfg.withDefaults()
	p := &Plane{
		cfg: cfg, topic: cfg.Topics.Control(), buses: buses, out: out, born: time.Now(),
		wake: make(chan struct{}, 1), status: make(chan struct{}, 1), done: make(chan struct{}),
		backlog: backlog{unread: len(buses)}, refusals: newRefusals(cfg.Logger),
		speech: speech{troubles: make(map[string]*trouble)},
	}
	for range buses {
		p.reading = append(p.reading, newTrouble(cfg.Logger, p.topic, readTrouble))
	}
	p.writing = newTrouble(cfg.Logger, p.topic, writeTrouble)
	p.troubles = append(slices.Clone(p.reading), p.writing)
	p.machine = control.New(cfg.Control, p.now())
	return p
}

// now returns the time as the machine wants it. Times that go to the machine are taken with
// mu held, so that none is before the one of the call before.
func (p *Plane) now() control.Now {
	return control.Now{Mono: time.Since(p.born), Wall: time.Now().UnixMilli()}
}

// nudge makes Run look at once whether there is something to do.
func (p *Plane) nudge() { token(p.wake) }

// token puts a token into a channel that holds one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Ready reports whether the node knows the facts, or has waited for them for as long as
// Config.ReadyWithin says.
func (p *Plane) Ready() bool {
	late := time.Duration(-1) // since ReadyWithin was over
	if at := p.readyAt.Load(); at > 0 {
		late = time.Since(p.born) - time.Duration(at)
	}
	if late >= (receivingFactor-1)*p.cfg.ReadyWithin {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Ready() || late >= 0 && !p.machine.Receiving(p.now())
}

// Trouble returns what is wrong with the control topic, in words for the operator; "" if
// nothing is.
func (p *Plane) Trouble() string {
	for _, t := range p.troubles {
		if text := t.text(); text != "" {
			return text
		}
	}
	if p.cfg.Deaf != nil && p.cfg.Deaf(p.topic) {
		return readTrouble
	}
	return ""
}

// Posts reports whether it is this node that posts to its webhooks: see
// [control.Machine.Posts]. A node whose control topic has never worked while the bus did posts
// as if it were alone.
func (p *Plane) Posts() bool {
	troubled := p.Trouble() != ""
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Posts() || troubled && !p.machine.Echoed()
}

// SetBusUp says whether the bus can be reached.
func (p *Plane) SetBusUp(up bool) {
	p.mu.Lock()
	p.busDown = !up
	p.machine.SetBusUp(p.now(), up)
	p.mu.Unlock()
	for _, t := range p.troubles {
		t.setBusUp(up)
	}
	p.retry.Store(true)
	p.nudge()
}

// StatusChanged has Run ask [Node.Status] at once, for example because the node drains.
func (p *Plane) StatusChanged() {
	token(p.status)
	p.nudge()
}

// Check returns a [*control.Refusal] if the user or the token is not to be let in. The
// token is its jti, "" if it has none, and issued is zero if the token does not say it.
func (p *Plane) Check(user, token string, issued time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Check(user, token, issued)
}

// Rooms returns the rooms of a system that a user is a member of, sorted.
func (p *Plane) Rooms(user string, system domain.System) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Rooms(user, system)
}

// keepsPresence reports whether presence is kept for a system.
func (p *Plane) keepsPresence(s domain.System) bool {
	return p.cfg.Control.Presence != nil && p.cfg.Control.Presence(s)
}

// Attach changes the number of this node's sessions that a user has in a room of the system
// or, if room is "", in the system itself. It does nothing for systems without presence.
func (p *Plane) Attach(system domain.System, room, user string, delta int) {
	if !p.keepsPresence(system) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Attach(p.now(), control.Place{System: system, Room: room}, user, delta)
}

// Who returns the first users in a place, at most limit.
func (p *Plane) Who(at control.Place, limit int) control.Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Who(at, "", limit)
}

// Watch has [Node.PresenceChanged] called for a place. Each Watch needs an Unwatch.
func (p *Plane) Watch(at control.Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Watch(at)
}

// Unwatch undoes a Watch.
func (p *Plane) Unwatch(at control.Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Unwatch(at)
}

// Presence returns the users in a place whose names come after a name, at most limit. The
// error wraps [domain.ErrUnsupported] if no presence is kept for the system.
func (p *Plane) Presence(at control.Place, after string, limit int) (control.Page, error) {
	if err := p.checkPresence(at.System); err != nil {
		return control.Page{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Who(at, after, limit), nil
}

// Find returns those of the users who are in a place, in their order, and whether every
// live node is in step. Its errors are those of Presence.
func (p *Plane) Find(at control.Place, users []string) (_ []control.Present, complete bool, _ error) {
	if err := p.checkPresence(at.System); err != nil {
		return nil, false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Find(at, users), p.machine.Complete(), nil
}

func (p *Plane) checkPresence(s domain.System) error {
	if p.keepsPresence(s) {
		return nil
	}
	return fmt.Errorf("presence is not kept for system %s: %w", s, domain.ErrUnsupported)
}

// Nodes returns the live nodes, this one too, sorted by name and incarnation.
func (p *Plane) Nodes() []control.NodeInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Nodes(p.now())
}

// Gone returns the nodes that have ended or died while this one ran, the newest ones.
func (p *Plane) Gone() []control.Gone {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Gone()
}

// Blocked returns the block of a user, if there is one.
func (p *Plane) Blocked(user string) (control.Fact, bool) {
	return p.fact(control.Key{Kind: control.Block, Name: user})
}

// Member returns the membership of a user in a room, if there is one.
func (p *Plane) Member(system domain.System, room, user string) (control.Fact, bool) {
	return p.fact(control.Key{Kind: control.Membership, System: system.String(), Room: room, Name: user})
}

func (p *Plane) fact(k control.Key) (control.Fact, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Fact(k)
}

// Members returns the memberships of a room whose users come after a name, sorted by user,
// at most limit.
func (p *Plane) Members(system domain.System, room, after string, limit int) []control.Fact {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Members(system, room, after, limit)
}
