package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// A Source brings what the bus carries to streams, by [Stream.Step]. It is safe
// for concurrent use.
type Source interface {
	// Open begins to feed s and returns at once, whether the bus can be
	// reached or not. The source keeps trying, and gives s a Start entry when
	// the bus has confirmed.
	Open(s *Stream) error
	// Close ends what Open began. Nothing enters s after it has returned.
	Close(s *Stream)
}

// What a [HubConfig] has where nothing else is said.
const (
	DefaultMaxSystems  = 1000
	DefaultUserSystems = 64
	DefaultIdle        = time.Minute
	DefaultAttachWait  = time.Second
)

// HubConfig bounds a [Hub]. The zero HubConfig serves no system.
type HubConfig struct {
	Systems    []domain.System // served always
	Any        bool            // serve any other system while sessions attach to it
	MaxSystems int             // most streams at a time; default DefaultMaxSystems
	// UserSystems is how many streams of Any may be open because of one user
	// alone; default DefaultUserSystems.
	UserSystems int
	Idle        time.Duration // how long an unused stream of Any is kept; default DefaultIdle
	AttachWait  time.Duration // how long Acquire waits for the bus; default DefaultAttachWait
	Stream      Config        // of each stream
}

func (c HubConfig) withDefaults() HubConfig {
	defaults.SetZero(&c.MaxSystems, DefaultMaxSystems)
	defaults.SetZero(&c.UserSystems, DefaultUserSystems)
	defaults.SetZero(&c.Idle, DefaultIdle)
	defaults.SetZero(&c.AttachWait, DefaultAttachWait) // negative: Acquire does not wait
	c.Stream = c.Stream.withDefaults()                 // so that all share one Budget
	return c
}

// A Hub holds a node's streams: those of its own systems always, and with Any
// those that its sessions use. It is safe for concurrent use.
type Hub struct {
	cfg    HubConfig
	source Source
	always map[domain.System]bool
	down   atomic.Bool

	mu    sync.Mutex
	slots map[domain.System]*slot // guarded by mu
	owned map[string]int          // slots that are charged to a user; guarded by mu
}

// A slot is what a Hub knows of a stream.
type slot struct {
	stream *Stream
	opened chan struct{} // closed when source.Open has returned
	err    error         // what it returned; set before opened is closed
	leases int           // guarded by Hub.mu
	unused time.Time     // since when leases is 0; guarded by Hub.mu

	users map[string]int // leases by user; guarded by Hub.mu
	owner string         // the user whom it is charged to, see charge; guarded by Hub.mu
}

// NewHub returns a Hub whose streams are fed by source.
func NewHub(source Source, cfg HubConfig) *Hub {
	h := &Hub{
		cfg: cfg.withDefaults(), source: source,
		always: make(map[domain.System]bool), slots: make(map[domain.System]*slot),
		owned: make(map[string]int),
	}
	for _, s := range cfg.Systems {
		h.always[s] = true
	}
	return h
}

// Start opens the streams that are served always.
func (h *Hub) Start() error {
	var faults []error
	for s := range h.always {
		lease, err := h.take(s, "")
		if err != nil {
			faults = append(faults, err)
			continue
		}
		lease.Release()
	}
	return errors.Join(faults...)
}

// Serves reports whether sessions may attach to the system on this node.
func (h *Hub) Serves(s domain.System) bool { return h.cfg.Any || h.always[s] }

// SetBusUp records whether the bus can be reached. While it cannot, Acquire does
// not wait for it, and streams believe cursors that are ahead of them.
func (h *Hub) SetBusUp(up bool) {
	h.down.Store(!up)
	for _, s := range h.Streams() {
		s.SetBusUp(up)
	}
}

// Acquire returns the system's stream, opened if need be, which stays open as
// long as the lease is held. The lease is for a session of the user, who may
// keep at most HubConfig.UserSystems open that nobody else uses; "" is nobody in
// particular, without that limit.
//
// Acquire waits up to HubConfig.AttachWait for the bus to confirm. If it has not
// by then, the lease is good all the same, and sessions are told when it does.
//
// Errors: [domain.ErrNotServed], [domain.ErrLimit] (too many systems),
// [ErrUserSystems], the context's, or the source's.
func (h *Hub) Acquire(ctx context.Context, user string, s domain.System) (*Lease, error) {
	lease, err := h.take(s, user)
	if err != nil {
		return nil, err
	}
	if h.down.Load() {
		return lease, nil
	}
	select {
	case <-lease.Ready(): // as nearly always, so that no timer is needed
		return lease, nil
	default:
	}
	wait := time.NewTimer(h.cfg.AttachWait)
	defer wait.Stop()
	select {
	case <-lease.Ready():
	case <-wait.C:
	case <-ctx.Done():
		lease.Release()
		return nil, ctx.Err()
	}
	return lease, nil
}

// A Lease keeps a stream open until it is released.
type Lease struct {
	*Stream
	hub      *Hub
	slot     *slot
	user     string
	released atomic.Bool
}

// Release ends the lease. It is idempotent.
func (l *Lease) Release() {
	if !l.released.Swap(true) {
		l.hub.give(l.slot, l.user)
	}
}

func (h *Hub) take(s domain.System, user string) (*Lease, error) {
	if !h.Serves(s) {
		return nil, fmt.Errorf("system %s: %w", s, domain.ErrNotServed)
	}
	h.mu.Lock()
	sl, found := h.slots[s]
	if !found {
		if len(h.slots) >= h.cfg.MaxSystems {
			h.mu.Unlock()
			return nil, fmt.Errorf("system %s: %w: %d systems are in use", s, domain.ErrLimit, h.cfg.MaxSystems)
		}
		sl = &slot{stream: New(s, h.cfg.Stream), opened: make(chan struct{})}
		sl.stream.SetBusUp(!h.down.Load())
	}
	if err := h.charge(sl, user); err != nil {
		h.mu.Unlock()
		return nil, err
	}
	h.slots[s] = sl
	sl.leases++
	h.mu.Unlock()
	lease := &Lease{Stream: sl.stream, hub: h, slot: sl, user: user}
	if !found {
		h.open(sl)
	}
	<-sl.opened // Open does not wait for the bus
	if sl.err != nil {
		lease.Release()
		return nil, fmt.Errorf("system %s: %w", s, sl.err)
	}
	return lease, nil
}

func (h *Hub) open(sl *slot) {
	sl.err = h.source.Open(sl.stream)
	if sl.err != nil {
		h.mu.Lock()
		delete(h.slots, sl.stream.system)
		h.own(sl, "")
		h.mu.Unlock()
	}
	close(sl.opened)
}

func (h *Hub) give(sl *slot, user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.discharge(sl, user)
	sl.leases--
	if sl.leases == 0 {
		sl.unused = h.cfg.Stream.Now()
	}
}

// Sweep drops from all windows what is too old, and closes the streams that
// nobody has used for HubConfig.Idle. Call it every few seconds.
func (h *Hub) Sweep() {
	for _, sl := range h.idle() {
		h.source.Close(sl.stream)
		sl.stream.release()
	}
	for _, s := range h.Streams() {
		s.Sweep()
	}
}

// idle removes the slots that are to be closed, and returns them.
func (h *Hub) idle() (out []*slot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.cfg.Stream.Now()
	for name, sl := range h.slots {
		if h.always[name] || sl.leases > 0 || now.Sub(sl.unused) < h.cfg.Idle {
			continue
		}
		delete(h.slots, name)
		h.own(sl, "")
		out = append(out, sl)
	}
	return out
}

// Ready reports whether the bus has confirmed all systems that are served
// always.
func (h *Hub) Ready() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.always {
		sl := h.slots[s]
		if sl == nil {
			return false
		}
		select {
		case <-sl.stream.Ready():
		default:
			return false
		}
	}
	return true
}

// Any reports whether systems that are not named are served, while sessions
// attach to them.
func (h *Hub) Any() bool { return h.cfg.Any }

// Streams returns the open streams, in the order of their names.
func (h *Hub) Streams() []*Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*Stream, 0, len(h.slots))
	for _, sl := range h.slots {
		all = append(all, sl.stream)
	}
	slices.SortFunc(all, func(a, b *Stream) int { return cmp.Compare(a.system.String(), b.system.String()) })
	return all
}
