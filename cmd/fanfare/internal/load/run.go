package load

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// A run is one load under way.
type run struct {
	cfg        Config
	nodes      []*url.URL
	format     format
	publishers int       // how many there are
	began      time.Time // stamps count from here
	poll       *poller
	scrape     *scraper

	numbered []uint32     // by stamp.to: how many messages were numbered; only their publisher uses it
	sent     []uint32     // by stamp.to: how many are on the bus; read when the publishers have ended
	onBus    atomic.Int64 // messages on the bus, in all
	counted  atomic.Int64 // of these, messages that were due while the load was measured

	from     atomic.Int64  // messages that are due from then on are measured
	slots    chan struct{} // each lets a publisher send one batch; nil at a rate
	credit   atomic.Int64  // deliveries that have given slots back, in part or whole
	returned atomic.Int64  // slots that were given back

	ready   atomic.Int64 // clients that were greeted
	arrived atomic.Int64 // messages that came to a client for the first time

	mu           sync.Mutex
	sessions     []session // guarded by mu
	now          int64     // when the bytes came that are looked at; guarded by mu
	measured     int64     // deliveries of such messages; guarded by mu
	frames       int64     // frames that held messages of this load; guarded by mu
	lastArrival  int64     // guarded by mu
	latency      histogram // guarded by mu
	interval     histogram // since the last point of the timeline; guarded by mu
	connects     histogram // from dialling to the greeting; guarded by mu
	closed       int       // connections that the server ended; guarded by mu
	misdelivered int       // messages for somebody else; guarded by mu
	faults       []string  // the first things that went wrong; guarded by mu
	missing      []int     // resume: by client, how many messages are still to come; guarded by mu
}

// maxFaults bounds the faults that are told in words.
const maxFaults = 20

func newRun(ctx context.Context, cfg Config) (*run, error) {
	r := &run{cfg: cfg, format: newFormat(cfg.Size), began: time.Now()}
	r.from.Store(math.MaxInt64)
	for _, text := range cfg.URLs {
		u, err := parseNode(text)
		if err != nil {
			return nil, err
		}
		r.nodes = append(r.nodes, u)
	}
	r.publishers = r.countPublishers()
	sequences, all := 1, cfg.Clients+cfg.Absent
	if cfg.Scenario == FanOut {
		sequences, all = r.publishers, cfg.Systems*r.publishers
	}
	r.numbered, r.sent = make([]uint32, all), make([]uint32, all)
	next := make([]uint32, cfg.Clients*sequences)
	r.sessions = make([]session, cfg.Clients)
	for i := range r.sessions {
		r.sessions[i] = session{run: r, index: i, system: i % cfg.Systems}
		r.sessions[i].checker.next = next[i*sequences:][:sequences:sequences]
	}
	var err error
	if r.scrape, err = newScraper(ctx, cfg); err != nil {
		return nil, err
	}
	if r.poll, err = newPoller(r); err != nil {
		r.scrape.close()
		return nil, err
	}
	return r, nil
}

// countPublishers returns how many publishers there are: no more than batches may be
// in flight, and each has a user of its own.
func (r *run) countPublishers() int {
	n := r.cfg.Publishers
	if r.cfg.InFlight > 0 {
		n = min(n, r.cfg.InFlight/r.cfg.Batch)
	}
	if r.cfg.Rate > 0 {
		n = min(n, r.cfg.Rate) // each has a message in the first second
	}
	if r.cfg.Scenario != FanOut {
		n = min(n, r.cfg.Clients+r.cfg.Absent)
	}
	return n
}

// close ends all connections.
func (r *run) close() {
	r.dropAll()
	r.poll.close()
	r.scrape.close()
}

func (r *run) since() int64 { return int64(time.Since(r.began)) }

// to is the stamp.to of what a publisher sends to all clients of a system.
func (r *run) to(publisher, system int) uint32 { return uint32(system*r.publishers + publisher) }

// systemFor returns the number of the system in which messages with this stamp.to are
// published.
func (r *run) systemFor(to uint32) int {
	if r.cfg.Scenario == FanOut {
		return int(to) / r.publishers
	}
	return int(to) % r.cfg.Systems
}

// sequence returns which sequence of s messages with this stamp.to are; false if they
// are not for s.
func (r *run) sequence(s *session, to uint32) (sequence int, ok bool) {
	if r.cfg.Scenario == FanOut {
		return int(to) % r.publishers, int(to)/r.publishers == s.system
	}
	return 0, int(to) == s.index
}

// toOf is the reverse of sequence.
func (r *run) toOf(s *session, sequence int) uint32 {
	if r.cfg.Scenario == FanOut {
		return r.to(sequence, s.system)
	}
	return uint32(s.index)
}

// name says in words which messages have this stamp.to.
func (r *run) name(to uint32) string {
	if r.cfg.Scenario == FanOut {
		return fmt.Sprintf("publisher %d", int(to)%r.publishers)
	}
	return "those for " + UserOf(int(to))
}

// fault notes what went wrong, as long as there is room. mu is held.
func (r *run) fault(format string, args ...any) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

// greet notes that the server has let a client in. mu is held.
func (r *run) greet(s *session) {
	if !s.ready {
		s.ready = true
		r.ready.Add(1)
		r.connects.add(time.Duration(r.since() - s.dialed))
	}
}

// arrive accounts for a message that has come to a client for the first time. mu is
// held.
func (r *run) arrive(s *session, st stamp) {
	r.arrived.Add(1)
	r.lastArrival = r.now
	if r.missing != nil {
		if r.missing[s.index]--; r.missing[s.index] == 0 {
			r.measured++
			r.latency.add(time.Duration(r.now - s.dialed))
			r.interval.add(time.Duration(r.now - s.dialed))
		}
		return
	}
	if st.due >= r.from.Load() {
		r.measured++
		r.latency.add(time.Duration(r.now - st.due))
		r.interval.add(time.Duration(r.now - st.due))
	}
}

// accepted accounts for messages that are on the bus.
func (r *run) accepted(stamps []stamp) {
	if len(stamps) == 0 {
		return
	}
	absent, from := 0, r.from.Load()
	for _, s := range stamps {
		r.sent[s.to]++
		if s.due >= from {
			r.counted.Add(1)
		}
		if r.cfg.Scenario == Unicast && int(s.to) >= r.cfg.Clients {
			absent++
		}
	}
	r.onBus.Add(int64(len(stamps)))
	if absent > 0 {
		r.credit.Add(int64(absent))
		r.settle()
	}
}

// audience is how many clients each message is for, on average.
func (r *run) audience() float64 {
	if r.cfg.Scenario == FanOut {
		return float64(r.cfg.Clients) / float64(r.cfg.Systems)
	}
	return 1
}

// settle gives slots back to the publishers for what has arrived. It may be called
// concurrently.
func (r *run) settle() {
	if r.slots == nil {
		return
	}
	messages := float64(r.arrived.Load())/r.audience() + float64(r.credit.Load())
	want := int64(messages / float64(r.cfg.Batch))
	for {
		have := r.returned.Load()
		if have >= want {
			return
		}
		if !r.returned.CompareAndSwap(have, have+1) {
			continue
		}
		select {
		case r.slots <- struct{}{}:
		default: // systems have different numbers of clients, and the audience is an average
		}
	}
}

// drop forgets the connection of a client, which has ended. mu is held.
func (r *run) drop(s *session, why error) {
	if s.conn == nil {
		return
	}
	r.hangUp(s)
	r.closed++
	r.fault("client %d: %v", s.index, why)
}

// dropAll cuts the connections of all clients, as a network that fails would do it.
func (r *run) dropAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.sessions {
		r.hangUp(&r.sessions[i])
	}
}

// hangUp closes the connection of a client, if it has one. mu is held.
func (r *run) hangUp(s *session) {
	if s.conn != nil {
		_ = s.conn.Close() // nothing is read or written any more
	}
	s.conn, s.frames = nil, frameReader{}
	if s.ready {
		s.ready = false
		r.ready.Add(-1)
	}
}
