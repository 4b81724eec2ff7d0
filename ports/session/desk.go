package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// An Authenticator says whose a token is and what it entitles to. It is safe
// for concurrent use and bounded by ctx. A token that proves nothing is a
// domain.ErrUnauthenticated, best a domain.CredentialError, which says why. All
// errors are logged, so none may hold a part of a token.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (domain.Grant, error)
}

// A Desk admits the sessions of all ports and holds them. It is safe for
// concurrent use. Run must be running while ports serve.
type Desk struct {
	hub  *stream.Hub
	auth Authenticator
	cfg  Config
	log  *slog.Logger

	origins origins
	now     func() time.Time

	counters *counters
	failures *failures
	missing  atomic.Bool   // a proxy without its header was logged
	ended    chan struct{} // closed when draining and nothing is admitted any more

	mu       sync.Mutex       // guards all below
	admitted int              // sessions, and requests on the way to be one
	draining bool             // nothing new is admitted
	busDown  bool             // as the sessions were told
	sessions []*Session       // each knows its slot
	users    map[string]*user // of the sessions, and those whose rate is not forgotten
}

// A user is what the sessions of one user on this node share.
type user struct {
	sessions []*Session // oldest first; guarded by Desk.mu
	meter    *Meter     // nil until something was sent; guarded by Desk.mu
	opens    Bucket     // sessions; guarded by Desk.mu
}

// mayOpen counts a session of the user's, and says whether there are too many
// of late: each costs a look at the window, and a hello.
func (d *Desk) mayOpen(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.users[name]
	if u == nil {
		u = &user{}
		d.users[name] = u
	}
	if !u.opens.Take(d.now(), d.openRate(), 2*time.Second) {
		return &Refusal{
			Status: http.StatusTooManyRequests, Retry: retryLater, reason: "user_sessions",
			Detail: "too many new sessions of this user",
		}
	}
	return nil
}

// openRate is how many sessions a user may open in a second: as many as may be
// open, so that all of them can come back together.
func (d *Desk) openRate() float64 { return max(float64(d.cfg.SessionsPerUser), 8) }

// idle says that there is nothing to remember of the user. The caller holds
// Desk.mu.
func (u *user) idle(now time.Time, rate float64) bool {
	return len(u.sessions) == 0 && u.meter.full(now) && u.opens.idle(now, rate)
}

// New returns a Desk whose sessions attach to hub. Auth may be nil if
// cfg.Tokenless is set.
func New(hub *stream.Hub, auth Authenticator, cfg Config, log *slog.Logger) (*Desk, error) {
	if auth == nil && cfg.Tokenless == nil {
		return nil, errors.New("session: nobody could connect: want an authenticator")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	origins, err := parseOrigins(cfg.Origins)
	if err != nil {
		return nil, err
	}
	return &Desk{
		hub: hub, origins: origins, auth: auth, cfg: cfg, log: log, now: time.Now,
		counters: newCounters(), failures: newFailures(cfg.FailureRate), users: make(map[string]*user),
		ended: make(chan struct{}),
	}, nil
}

// Run keeps time for the sessions: tokens that expire, places of those that
// hear nothing. When ctx ends it closes what Drain has left, and returns when
// every session has ended.
func (d *Desk) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ticker.C:
			d.tick(d.now(), n)
		case <-ctx.Done():
			d.stopAdmitting()
			for _, s := range d.snapshot() {
				s.conn.Close(CloseGoingAway, "the node stops")
			}
			<-d.ended
			return nil
		}
	}
}

// tick is the grain of Run's time.
const tick = time.Second

// tick ends the sessions whose token has expired, and tells those that are due
// where they are. Each session is due once in Config.Idle, not all at once.
func (d *Desk) tick(now time.Time, n int) {
	turns := max(int(d.cfg.Idle/tick), 1)
	var expired, due []*Session
	d.mu.Lock()
	for _, s := range d.sessions {
		if s.expired(now) {
			expired = append(expired, s)
		} else if !s.plain && s.turn%turns == n%turns {
			due = append(due, s)
		}
	}
	for name, u := range d.users {
		if u.idle(now, d.openRate()) {
			delete(d.users, name)
		}
	}
	d.mu.Unlock()
	for _, s := range expired {
		s.conn.Close(CloseExpired, "the token has expired")
	}
	for _, s := range due {
		s.tellPlaces()
	}
	d.failures.sweep(now)
}

// SetBusUp tells the sessions whether the bus can be reached. It does nothing
// if they know.
func (d *Desk) SetBusUp(up bool) {
	d.mu.Lock()
	defer d.mu.Unlock() // so that no session hears it in the wrong order; Tell does not block
	if d.busDown == !up {
		return
	}
	d.busDown = !up
	notice := BusNotice(up)
	for _, s := range d.sessions {
		s.conn.Tell(notice)
	}
}

// Disconnect closes the sessions of a user here with CloseDisconnected, and
// says how many there were.
func (d *Desk) Disconnect(name string) int {
	var sessions []*Session
	d.mu.Lock()
	if u := d.users[name]; u != nil {
		sessions = append(sessions, u.sessions...)
	}
	d.mu.Unlock()
	for _, s := range sessions {
		s.conn.Close(CloseDisconnected, "disconnected")
	}
	return len(sessions)
}

// Stats returns what was counted since New.
func (d *Desk) Stats() Stats {
	stats := d.counters.stats()
	d.mu.Lock()
	defer d.mu.Unlock()
	stats.Sessions = len(d.sessions)
	for _, u := range d.users {
		if len(u.sessions) > 0 {
			stats.Users++
		}
	}
	return stats
}

// admit reserves room for one session.
func (d *Desk) admit() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.draining:
		return &Refusal{Status: http.StatusServiceUnavailable, Detail: "this node is draining", Retry: 1, reason: "draining"}
	case d.admitted >= d.cfg.Sessions:
		return fmt.Errorf("sessions: %w", domain.ErrLimit)
	}
	d.admitted++
	return nil
}

// dismiss gives back what admit reserved.
func (d *Desk) dismiss() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.admitted--; d.draining && d.admitted == 0 {
		close(d.ended)
	}
}

// stopAdmitting turns new clients away from now on. It is idempotent.
func (d *Desk) stopAdmitting() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining {
		return
	}
	if d.draining = true; d.admitted == 0 {
		close(d.ended)
	}
}

// enlist adds a session that has begun, and tells it if the bus is down. It is
// false when the node has begun to drain. The user's oldest session goes if
// there are too many.
func (d *Desk) enlist(s *Session) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining {
		return false
	}
	s.slot = len(d.sessions)
	d.sessions = append(d.sessions, s)
	u := d.users[s.User]
	if u == nil {
		u = &user{}
		d.users[s.User] = u
	}
	u.sessions = append(u.sessions, s)
	if over := len(u.sessions) - d.cfg.SessionsPerUser; over > 0 {
		u.sessions[over-1].conn.Close(CloseReplaced, "too many sessions of this user")
	}
	if d.busDown {
		s.conn.Tell(BusNotice(false))
	}
	return true
}

// delist forgets a session; it is idempotent.
func (d *Desk) delist(s *Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.slot < 0 {
		return
	}
	last := len(d.sessions) - 1
	d.sessions[s.slot] = d.sessions[last]
	d.sessions[s.slot].slot = s.slot
	d.sessions[last] = nil
	d.sessions = d.sessions[:last]
	s.slot = -1
	u := d.users[s.User]
	for i, other := range u.sessions {
		if other == s {
			u.sessions = append(u.sessions[:i], u.sessions[i+1:]...)
			break
		}
	}
	if u.idle(d.now(), d.openRate()) || len(u.sessions) == 0 && len(d.users) > 2*d.cfg.Sessions {
		delete(d.users, s.User)
	}
}

// userMeter returns what the sessions of the user share; nil if there is none
// any more.
func (d *Desk) userMeter(name string, r Rate, largest int) *Meter {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.users[name]
	if u == nil {
		return nil
	}
	if u.meter == nil {
		u.meter = NewMeter(r, largest)
	}
	return u.meter
}

func (d *Desk) snapshot() []*Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*Session(nil), d.sessions...)
}
