package ws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// An Authenticator says whose a token is and what it entitles to. It is safe
// for concurrent use and bounded by ctx. A token that proves nothing is a
// domain.ErrUnauthenticated.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (domain.Grant, error)
}

// A Server is an http.Handler that turns requests into sessions. It is safe
// for concurrent use. Run must be running while it serves.
type Server struct {
	hub    *stream.Hub
	auth   Authenticator
	pub    domain.Publisher
	cfg    Config
	log    *slog.Logger
	melody *melody.Melody
	now    func() time.Time

	counters *counters
	failures *failures
	ended    chan struct{} // closed when draining and nothing is admitted any more

	mu       sync.Mutex       // guards all below
	admitted int              // sessions, and handshakes on the way to be one
	draining bool             // nothing new is admitted
	busDown  bool             // as the sessions were told
	sessions []*session       // each knows its slot
	users    map[string]*user // of the sessions, and those whose rate is not forgotten
}

// A user is what the sessions of one user on this node share.
type user struct {
	sessions []*session // oldest first; guarded by Server.mu
	meter    *meter     // nil until something was sent; guarded by Server.mu
}

// New returns a Server whose sessions attach to hub and publish with pub. Auth
// may be nil if cfg.Tokenless is set.
func New(hub *stream.Hub, auth Authenticator, pub domain.Publisher, cfg Config, log *slog.Logger) (*Server, error) {
	if auth == nil && cfg.Tokenless == nil {
		return nil, errors.New("ws: nobody could connect: want an authenticator")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{
		hub: hub, auth: auth, pub: pub, cfg: cfg, log: log, now: time.Now,
		counters: newCounters(), failures: newFailures(cfg.FailureRate), users: make(map[string]*user),
		ended: make(chan struct{}),
	}
	s.melody = newMelody(cfg)
	s.melody.HandleConnect(func(m *melody.Session) { sessionOf(m).open(m) })
	s.melody.HandleMessage(func(m *melody.Session, data []byte) { sessionOf(m).receive(data, false) })
	s.melody.HandleMessageBinary(func(m *melody.Session, data []byte) { sessionOf(m).receive(data, true) })
	s.melody.HandleSentMessage(func(m *melody.Session, _ []byte) { sessionOf(m).sent() })
	s.melody.HandleSentMessageBinary(func(m *melody.Session, _ []byte) { sessionOf(m).sent() })
	s.melody.HandleError(func(m *melody.Session, err error) { sessionOf(m).failed(err) })
	return s, nil
}

func newMelody(cfg Config) *melody.Melody {
	m := melody.New()
	m.Config.MaxMessageSize = int64(cfg.MessageBytes)
	m.Config.MessageBufferSize = 4 // one write in flight, one close, and room
	m.Config.PingPeriod = cfg.Ping
	m.Config.PongWait = cfg.PongWait
	m.Config.WriteWait = cfg.Stall
	m.Upgrader = &websocket.Upgrader{
		HandshakeTimeout: cfg.Handshake,
		ReadBufferSize:   256,      // large reads pass it by
		WriteBufferSize:  16 << 10, // pooled: a batch of this size is one write
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     []string{V1, Plain},
		CheckOrigin:      func(*http.Request) bool { return true }, // shake did
	}
	return m
}

// Run keeps time for the sessions: tokens that expire, cursors of those that
// hear nothing. When ctx ends it closes what Drain has left, and returns when
// every session has ended.
func (s *Server) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ticker.C:
			s.tick(s.now(), n)
		case <-ctx.Done():
			s.stopAdmitting()
			for _, c := range s.snapshot() {
				c.close(CloseGoingAway, "the node stops")
			}
			<-s.ended
			return nil
		}
	}
}

// tick is the grain of Run's time.
const tick = time.Second

// tick ends the sessions whose token has expired, and tells those that are due
// where they are. Each session is due once in Config.Idle, not all at once.
func (s *Server) tick(now time.Time, n int) {
	turns := max(int(s.cfg.Idle/tick), 1)
	var expired, due []*session
	s.mu.Lock()
	for _, c := range s.sessions {
		if c.expired(now) {
			expired = append(expired, c)
		} else if !c.plain && c.turn%turns == n%turns {
			due = append(due, c)
		}
	}
	for name, u := range s.users {
		if len(u.sessions) == 0 && u.meter.full(now) {
			delete(s.users, name)
		}
	}
	s.mu.Unlock()
	for _, c := range expired {
		c.close(CloseExpired, "the token has expired")
	}
	for _, c := range due {
		c.tellCursors()
	}
	s.failures.sweep(now)
}

// SetBusUp tells fanfare.v1.json sessions whether the bus can be reached. It
// does nothing if they know.
func (s *Server) SetBusUp(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock() // so that no session hears it in the wrong order; tell does not block
	if s.busDown == !up {
		return
	}
	s.busDown = !up
	notice := busNotice(up)
	for _, c := range s.sessions {
		c.tell(notice)
	}
}

// Disconnect closes the sessions of a user here with 4009, and says how many
// there were.
func (s *Server) Disconnect(name string) int {
	var sessions []*session
	s.mu.Lock()
	if u := s.users[name]; u != nil {
		sessions = append(sessions, u.sessions...)
	}
	s.mu.Unlock()
	for _, c := range sessions {
		c.close(CloseDisconnected, "disconnected")
	}
	return len(sessions)
}

// Stats returns what was counted since New.
func (s *Server) Stats() Stats {
	stats := s.counters.stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Sessions = len(s.sessions)
	for _, u := range s.users {
		if len(u.sessions) > 0 {
			stats.Users++
		}
	}
	return stats
}

// admit reserves room for one session.
func (s *Server) admit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return &refusal{http.StatusServiceUnavailable, "this node is draining", 1}
	case s.admitted >= s.cfg.Sessions:
		return fmt.Errorf("sessions: %w", domain.ErrLimit)
	}
	s.admitted++
	return nil
}

// dismiss gives back what admit reserved.
func (s *Server) dismiss() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admitted--; s.draining && s.admitted == 0 {
		close(s.ended)
	}
}

// stopAdmitting turns new clients away from now on. It is idempotent.
func (s *Server) stopAdmitting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	if s.draining = true; s.admitted == 0 {
		close(s.ended)
	}
}

// enlist adds an open session and tells it if the bus is down. It is false
// when the node has begun to drain. The user's oldest session goes if there
// are too many.
func (s *Server) enlist(c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	c.slot = len(s.sessions)
	s.sessions = append(s.sessions, c)
	u := s.users[c.name]
	if u == nil {
		u = &user{}
		s.users[c.name] = u
	}
	u.sessions = append(u.sessions, c)
	if over := len(u.sessions) - s.cfg.SessionsPerUser; over > 0 {
		u.sessions[over-1].close(CloseReplaced, "too many sessions of this user")
	}
	if s.busDown {
		c.tell(busNotice(false))
	}
	return true
}

// delist forgets a session; it is idempotent.
func (s *Server) delist(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.slot < 0 {
		return
	}
	last := len(s.sessions) - 1
	s.sessions[c.slot] = s.sessions[last]
	s.sessions[c.slot].slot = c.slot
	s.sessions[last] = nil
	s.sessions = s.sessions[:last]
	c.slot = -1
	u := s.users[c.name]
	for i, other := range u.sessions {
		if other == c {
			u.sessions = append(u.sessions[:i], u.sessions[i+1:]...)
			break
		}
	}
	if len(u.sessions) == 0 && (u.meter == nil || len(s.users) > 2*s.cfg.Sessions) {
		delete(s.users, c.name)
	}
}

// userMeter returns what the sessions of the user share.
func (s *Server) userMeter(name string) *meter {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[name]
	if u == nil {
		return nil // the session is over
	}
	if u.meter == nil {
		u.meter = newMeter(s.cfg.UserRate, s.cfg.MessageBytes)
	}
	return u.meter
}

func (s *Server) snapshot() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*session(nil), s.sessions...)
}
