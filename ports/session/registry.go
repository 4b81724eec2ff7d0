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

// A Registry admits the sessions of all ports and holds them. It is safe for
// concurrent use. Run must be running while ports serve.
type Registry struct {
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
	sessions []*Session // oldest first; guarded by Registry.mu
	meter    *Meter     // nil until something was sent; guarded by Registry.mu
	opens    Bucket     // sessions; guarded by Registry.mu
}

// mayOpen counts a session of the user's, and says whether there are too many
// of late: each costs a look at the window, and a hello.
func (reg *Registry) mayOpen(name string) error {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	u := reg.users[name]
	if u == nil {
		u = &user{}
		reg.users[name] = u
	}
	if !u.opens.Take(reg.now(), reg.openRate(), 2*time.Second) {
		return &Rejection{
			Status: http.StatusTooManyRequests, Retry: retryLater, reason: "user_sessions",
			Detail: "too many new sessions of this user",
		}
	}
	return nil
}

// openRate is how many sessions a user may open in a second: as many as may be
// open, so that all of them can come back together.
func (reg *Registry) openRate() float64 { return max(float64(reg.cfg.SessionsPerUser), 8) }

// idle says that there is nothing to remember of the user. The caller holds
// Registry.mu.
func (u *user) idle(now time.Time, rate float64) bool {
	return len(u.sessions) == 0 && u.meter.full(now) && u.opens.idle(now, rate)
}

// New returns a Registry whose sessions attach to hub. Auth may be nil if
// cfg.Tokenless is set.
func New(hub *stream.Hub, auth Authenticator, cfg Config, log *slog.Logger) (*Registry, error) {
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
	return &Registry{
		hub: hub, origins: origins, auth: auth, cfg: cfg, log: log, now: time.Now,
		counters: newCounters(), failures: newFailures(cfg.FailureRate), users: make(map[string]*user),
		ended: make(chan struct{}),
	}, nil
}

// Run keeps time for the sessions: tokens that expire, places of those that
// hear nothing. When ctx ends it closes what Drain has left, and returns when
// every session has ended.
func (reg *Registry) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ticker.C:
			reg.tick(reg.now(), n)
		case <-ctx.Done():
			reg.stopAdmitting()
			for _, s := range reg.snapshot() {
				s.conn.Close(CloseGoingAway, "the node stops")
			}
			<-reg.ended
			return nil
		}
	}
}

// tick is the grain of Run's time.
const tick = time.Second

// tick ends the sessions whose token has expired, and tells those that are due
// where they are. Each session is due once in Config.Idle, not all at once.
func (reg *Registry) tick(now time.Time, n int) {
	turns := max(int(reg.cfg.Idle/tick), 1)
	var expired, due []*Session
	reg.mu.Lock()
	for _, s := range reg.sessions {
		if s.expired(now) {
			expired = append(expired, s)
		} else if !s.plain && s.turn%turns == n%turns {
			due = append(due, s)
		}
	}
	for name, u := range reg.users {
		if u.idle(now, reg.openRate()) {
			delete(reg.users, name)
		}
	}
	reg.mu.Unlock()
	for _, s := range expired {
		s.conn.Close(CloseExpired, "the token has expired")
	}
	for _, s := range due {
		s.sendCursors()
	}
	reg.failures.sweep(now)
}

// SetBusUp tells the sessions whether the bus can be reached. It does nothing
// if they know.
func (reg *Registry) SetBusUp(up bool) {
	reg.mu.Lock()
	defer reg.mu.Unlock() // so that no session hears it in the wrong order; Tell does not block
	if reg.busDown == !up {
		return
	}
	reg.busDown = !up
	notice := BusNotice(up)
	for _, s := range reg.sessions {
		s.conn.Notify(notice)
	}
}

// Disconnect closes the sessions of a user here with CloseDisconnected, and
// says how many there were.
func (reg *Registry) Disconnect(name string) int {
	var sessions []*Session
	reg.mu.Lock()
	if u := reg.users[name]; u != nil {
		sessions = append(sessions, u.sessions...)
	}
	reg.mu.Unlock()
	for _, s := range sessions {
		s.conn.Close(CloseDisconnected, "disconnected")
	}
	return len(sessions)
}

// Stats returns what was counted since New.
func (reg *Registry) Stats() Stats {
	stats := reg.counters.stats()
	reg.mu.Lock()
	defer reg.mu.Unlock()
	stats.Sessions = len(reg.sessions)
	for _, u := range reg.users {
		if len(u.sessions) > 0 {
			stats.Users++
		}
	}
	return stats
}

// reserve reserves room for one session.
func (reg *Registry) reserve() error {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	switch {
	case reg.draining:
		return &Rejection{Status: http.StatusServiceUnavailable, Detail: "this node is draining", Retry: 1, reason: "draining"}
	case reg.admitted >= reg.cfg.Sessions:
		return fmt.Errorf("sessions: %w", domain.ErrLimit)
	}
	reg.admitted++
	return nil
}

// release gives back what admit reserved.
func (reg *Registry) release() {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.admitted--; reg.draining && reg.admitted == 0 {
		close(reg.ended)
	}
}

// stopAdmitting turns new clients away from now on. It is idempotent.
func (reg *Registry) stopAdmitting() {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.draining {
		return
	}
	if reg.draining = true; reg.admitted == 0 {
		close(reg.ended)
	}
}

// add adds a session that has begun, and tells it if the bus is down. It is
// false when the node has begun to drain. The user's oldest session goes if
// there are too many.
func (reg *Registry) add(s *Session) bool {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.draining {
		return false
	}
	s.slot = len(reg.sessions)
	reg.sessions = append(reg.sessions, s)
	u := reg.users[s.User]
	if u == nil {
		u = &user{}
		reg.users[s.User] = u
	}
	u.sessions = append(u.sessions, s)
	if over := len(u.sessions) - reg.cfg.SessionsPerUser; over > 0 {
		u.sessions[over-1].conn.Close(CloseReplaced, "too many sessions of this user")
	}
	if reg.busDown {
		s.conn.Notify(BusNotice(false))
	}
	return true
}

// remove forgets a session; it is idempotent.
func (reg *Registry) remove(s *Session) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if s.slot < 0 {
		return
	}
	last := len(reg.sessions) - 1
	reg.sessions[s.slot] = reg.sessions[last]
	reg.sessions[s.slot].slot = s.slot
	reg.sessions[last] = nil
	reg.sessions = reg.sessions[:last]
	s.slot = -1
	u := reg.users[s.User]
	for i, other := range u.sessions {
		if other == s {
			u.sessions = append(u.sessions[:i], u.sessions[i+1:]...)
			break
		}
	}
	if u.idle(reg.now(), reg.openRate()) || len(u.sessions) == 0 && len(reg.users) > 2*reg.cfg.Sessions {
		delete(reg.users, s.User)
	}
}

// userMeter returns what the sessions of the user share; nil if there is none
// any more.
func (reg *Registry) userMeter(name string, r Rate, largest int) *Meter {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	u := reg.users[name]
	if u == nil {
		return nil
	}
	if u.meter == nil {
		u.meter = NewMeter(r, largest)
	}
	return u.meter
}

func (reg *Registry) snapshot() []*Session {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return append([]*Session(nil), reg.sessions...)
}
