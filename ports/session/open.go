package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A Protocol is what a port has read from a request by the rules of its own
// protocol.
type Protocol struct {
	Encoder stream.Encoder
	Plain   bool   // one system, no resume, and messages without any notices
	Token   string // "" if the protocol has no place for a token, or there is none in it
	Resume  string // like ?resume=, which it replaces if it is not empty

	// Presence lets the query parameter presence name places that the session watches from
	// its beginning, for clients that cannot send ops.
	Presence bool

	// Params names the query parameters that only the port reads. Each may be
	// given once.
	Params []string
}

// Open makes a session of a request, or returns why there is none. The session has
// not begun. The caller must call [Session.End].
func (reg *Registry) Open(r *http.Request, p Protocol) (*Session, error) {
	changes := reg.changes.Load()
	c, err := reg.authorize(r, p)
	if err != nil {
		return nil, err
	}
	if err := reg.countOpen(c.grant.User); err != nil {
		return nil, err
	}
	if err := reg.reserve(); err != nil {
		return nil, err
	}
	c.changes = changes
	s := reg.newSession(c)
	if err := s.attach(r.Context(), c); err != nil {
		s.End(0) // which releases the reservation
		return nil, err
	}
	return s, nil
}

// Check returns an error if a request would get no session because of what it asks
// for, its token, or the number of sessions. It opens none. A request that passes may
// still be rejected: Check does not look at how often the user opens sessions, nor at
// how many systems the user has open, since both count only sessions that are opened.
func (reg *Registry) Check(r *http.Request, p Protocol) error {
	if _, err := reg.authorize(r, p); err != nil {
		return err
	}
	if err := reg.reserve(); err != nil {
		return err
	}
	reg.release()
	return nil
}

// newSession returns a session that is attached to nothing yet.
func (reg *Registry) newSession(c *connectRequest) *Session {
	self, _ := domain.SessionTarget(domain.NewID()) // it is a name
	s := &Session{
		ID: self.Name(), User: c.grant.User, Grant: c.grant, self: self, user: c.user,
		registry: reg, from: c.from,
		plain: c.Plain, slot: -1, turn: rand.IntN(1 << 16), request: c,
	}
	s.SetExpiry(c.grant.Expires)
	return s
}

// attach attaches the session to the streams of all systems that were asked for.
// From now on nothing is missed. What was attached before an error, End detaches.
func (s *Session) attach(ctx context.Context, c *connectRequest) error {
	s.systems = make([]*Attachment, 0, len(c.systems))
	asker := askerOf(s.User, s.from)
	for i := range c.systems {
		asked := &c.systems[i]
		lease, err := s.registry.hub.Acquire(ctx, s.User, asked.system)
		if errors.Is(err, stream.ErrUserSystems) {
			return &Rejection{
				Status: http.StatusTooManyRequests, Retry: retryLater, reason: "user_systems",
				Detail: "systems: this user has too many open that nobody else uses: " +
					"close sessions, or wait until systems that are not used any more are let go",
			}
		}
		if err != nil {
			return err
		}
		a := &Attachment{session: s, lease: lease, rooms: asked.rooms, since: asked.since}
		a.present = s.registry.cfg.Presence(asked.system)
		for _, name := range s.registry.cfg.Control.Rooms(s.User, asked.system) {
			a.assignOne(name)
		}
		a.beginAtLast(ctx, asker, asked)
		a.attach(asker, c.Encoder)
		if asked.wantsLast() {
			a.stream.BeginsUnseen()
		}
		s.systems = append(s.systems, a)
	}
	return nil
}

// askerOf returns for whom streams read their logs again.
func askerOf(user string, from netip.Addr) stream.Asker {
	if !from.IsValid() {
		return stream.Asker{User: user}
	}
	return stream.Asker{User: user, Address: from.String()}
}
