package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// An Authenticator says whose a token is and what it grants. It is safe for
// concurrent use and bounded by ctx. For a token that proves nothing it returns
// [domain.ErrUnauthenticated], best as a [domain.CredentialError], which says
// why. All errors are logged, so none may contain a part of a token.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (domain.Grant, error)
}

// A Waiter is an [Authenticator] that may wait for others before it can judge a token, as for
// newer keys of an issuer. AuthenticateAtOnce does not wait: its error is then none of
// [domain.ErrUnauthenticated]. It is called for addresses that have shown too many wrong
// tokens, of which one is checked at a time: those who share the address would wait, too.
type Waiter interface {
	Authenticator
	AuthenticateAtOnce(ctx context.Context, token string) (domain.Grant, error)
}

// A Registry admits the sessions of all ports and holds them. It is safe for
// concurrent use. [Registry.Run] must be running while ports serve.
type Registry struct {
	hub      *stream.Hub
	identity atomic.Pointer[Identity] // SetIdentity replaces it
	cfg      Config
	log      *slog.Logger

	origins origins
	now     func() time.Time

	counters *counters
	failures *failures // of tokens
	logins   *failures // of logins
	// headerMissing is set when it was logged that a proxy sent no
	// Config.ProxyHeader, which is logged once.
	headerMissing atomic.Bool
	watchers      *watchers
	past          endedSessions
	// changes counts what Review, ReviewToken, Disconnect and DisconnectSession have told.
	// It is added to with mu held: see review.go.
	changes atomic.Uint64
	// ended is closed when the node drains and the last reservation is released.
	ended chan struct{}
	// rebalancings holds what Rebalance was called for last, until Run begins it.
	rebalancings chan rebalancing
	receipts     receiptList

	mu       sync.Mutex       // guards all below
	reserved int              // reservations: of sessions, and of requests that become one
	draining bool             // no more reservations are made
	busDown  bool             // what the sessions were last told about the bus
	goingNow int              // sessions that were asked to go
	sessions []*Session       // each knows its index: Session.slot
	users    map[string]*user // those with sessions, or with a rate that is not forgotten yet

	lookup      lookup
	disconnects recentDisconnects
}

// New returns a Registry whose sessions attach to hub. Without an auth, which may be
// nil, [Config.Tokenless] or [Config.Login] has to be set.
func New(hub *stream.Hub, auth Authenticator, cfg Config, log *slog.Logger) (*Registry, error) {
	if auth == nil && cfg.Tokenless == nil && cfg.Login == nil {
		return nil, errors.New("session: nobody could connect: want an authenticator")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	controlled := cfg.Control != nil
	cfg = cfg.withDefaults()
	origins, err := parseOrigins(cfg.Origins)
	if err != nil {
		return nil, err
	}
	reg := &Registry{
		hub: hub, origins: origins, cfg: cfg, log: log, now: time.Now,
		counters: newCounters(), failures: newFailures(cfg.FailureRate, tokenTurns),
		logins:   newFailures(cfg.FailureRate, loginTurns),
		watchers: newWatchers(cfg.Control, cfg.Members),
		past:     endedSessions{most: cfg.Ended}, receipts: receiptList{off: !controlled},
		users: make(map[string]*user), ended: make(chan struct{}),
		rebalancings: make(chan rebalancing, 1),
	}
	reg.SetIdentity(Identity{Tokens: auth, QueryToken: cfg.QueryToken, Login: cfg.Login})
	return reg, nil
}

// Run does what is due with time: it ends sessions whose token has expired,
// sends cursors to those that hear nothing, and asks those to go that
// [Registry.Rebalance] was called for. When ctx ends, Run closes the
// sessions that [Registry.Drain] has left, and returns when every one has ended.
func (reg *Registry) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { reg.rebalance(ctx) })
	ticker := time.NewTicker(tickPeriod)
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

// Ended returns a channel that is closed when the node has stopped admitting, and no
// session is left.
func (reg *Registry) Ended() <-chan struct{} { return reg.ended }

// tickPeriod is the time from one tick of Run to the next.
const tickPeriod = time.Second

// tick does the work of the nth tick. It forgets what is not needed any more
// about users and addresses, too.
func (reg *Registry) tick(now time.Time, n int) {
	expired, due := reg.due(now, n)
	for _, s := range expired {
		s.conn.Close(CloseExpired, "the token has expired")
	}
	for _, s := range due {
		s.sendCursors()
	}
	reg.forgetUsers(now)
	reg.forgetDisconnects(now)
	reg.failures.sweep(now)
	reg.logins.sweep(now)
}

// due returns the sessions whose token has expired, and those whose turn it is
// to be sent their cursors. The turn of each session comes once in Config.Idle,
// and the turns are spread over all ticks of that time.
func (reg *Registry) due(now time.Time, n int) (expired, due []*Session) {
	turns := max(int(reg.cfg.Idle/tickPeriod), 1)
	reg.mu.Lock()
	defer reg.mu.Unlock()
	for _, s := range reg.sessions {
		if s.expired(now) {
			expired = append(expired, s)
		} else if !s.plain && s.turn%turns == n%turns {
			due = append(due, s)
		}
	}
	return expired, due
}

// SetBusUp records whether the bus can be reached, and notifies all sessions if
// that has changed.
func (reg *Registry) SetBusUp(up bool) {
	reg.mu.Lock()
	// The lock is held while the sessions are notified, so that none hears of two
	// changes in the wrong order. Notify does not block.
	defer reg.mu.Unlock()
	if reg.busDown == !up {
		return
	}
	reg.busDown = !up
	notice := BusNotice(up)
	for _, s := range reg.sessions {
		s.conn.Notify(notice)
	}
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

// Sessions returns how many sessions there are.
func (reg *Registry) Sessions() int {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return len(reg.sessions)
}

func (reg *Registry) snapshot() []*Session {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return append([]*Session(nil), reg.sessions...)
}
