package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// Protocol are what a port makes of a request by its own protocol.
type Protocol struct {
	Encoder stream.Encoder
	Plain   bool   // one system, no resume, and told nothing but messages
	Token   string // if the protocol has a place of its own for it
	Resume  string // if it has one; wins over the query's

	// Params are the names of what the port itself takes from the query, each at
	// most once.
	Params []string
}

// Open makes a session of a request, or says why there is none. The session has
// not begun; whoever gets it must call its End.
func (reg *Registry) Open(r *http.Request, p Protocol) (*Session, error) {
	w, err := reg.authorize(r, p)
	if err != nil {
		return nil, err
	}
	if err := reg.mayOpen(w.grant.User); err != nil {
		return nil, err
	}
	if err := reg.reserve(); err != nil {
		return nil, err
	}
	s := reg.newSession(w)
	if err := s.attach(r.Context(), w); err != nil {
		s.End(0) // which releases the place
		return nil, err
	}
	return s, nil
}

// Check says why a request would get no session, and opens none.
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
func (reg *Registry) newSession(w *wish) *Session {
	s := &Session{ID: domain.NewID(), User: w.grant.User, Grant: w.grant, from: w.from,
		asker:    askerOf(w.grant.User, w.from),
		registry: reg, plain: w.Plain, slot: -1, turn: rand.IntN(1 << 16)}
	s.SetExpiry(w.grant.Expires)
	return s
}

// attach attaches the session to the streams of all systems that were asked for.
// From now on nothing is missed. What was attached before an error, End detaches.
func (s *Session) attach(ctx context.Context, w *wish) error {
	for _, asked := range w.systems {
		lease, err := s.registry.hub.AcquireFor(ctx, s.User, asked.system)
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
		a.attach(w.Encoder)
		s.systems = append(s.systems, a)
	}
	return nil
}

func askerOf(user string, from netip.Addr) stream.Asker {
	if !from.IsValid() {
		return stream.Asker{User: user}
	}
	return stream.Asker{User: user, Address: from.String()}
}

// A wish is what a request asks for and is allowed to have.
type wish struct {
	Protocol
	from    netip.Addr
	grant   domain.Grant
	systems []asked
}

// asked is one system of a wish.
type asked struct {
	system domain.System
	rooms  []domain.Target
	since  domain.Cursor
}

// authorize reads a request. The order is from cheap to dear, and nothing is told
// about systems and rooms before the client is known.
func (reg *Registry) authorize(r *http.Request, p Protocol) (w *wish, err error) {
	w = &wish{Protocol: p}
	if err := reg.checkOrigin(r); err != nil {
		return nil, err
	}
	from := reg.caller(r)
	if from.unnamed != "" {
		reg.noteUnnamed(r, from)
	}
	w.from = from.addr
	if w.grant, err = reg.identify(r, w.from, w.Token); err != nil {
		return nil, reg.explain(err, r, w.Token)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Rejected(http.StatusUnprocessableEntity, "query: escape special characters as %%XX")
	}
	if err := w.parse(query, reg.cfg); err != nil {
		return nil, err
	}
	return w, reg.allowed(w)
}

// parse reads systems, rooms and resume, which are lists, and room, which is
// repeated.
func (w *wish) parse(query url.Values, cfg Config) error {
	if err := w.checkParams(query, cfg); err != nil {
		return err
	}
	systems, err := list("systems", query["systems"])
	if err == nil {
		err = w.parseSystems(systems, cfg.Systems)
	}
	if err == nil {
		err = w.parseRooms(query, cfg.Rooms)
	}
	if err == nil {
		err = w.parseResumes(query)
	}
	return err
}

// parseRooms reads rooms in both of their spellings. An element of a list ends
// at a comma, so a room with a comma in its name needs the other.
func (w *wish) parseRooms(query url.Values, most int) error {
	rooms, err := list("rooms", query["rooms"])
	if err != nil {
		return err
	}
	if n := len(rooms) + len(query["room"]); n > most {
		return Rejected(http.StatusUnprocessableEntity, "rooms: at most %d, got %d", most, n)
	}
	for i, text := range rooms {
		if err := w.parseRoom(text); err != nil {
			return domain.At(fmt.Sprintf("rooms[%d]", i), err)
		}
	}
	for i, text := range query["room"] {
		if err := w.parseRoom(text); err != nil {
			return domain.At(fmt.Sprintf("room[%d]", i), err)
		}
	}
	return nil
}

func (w *wish) parseResumes(query url.Values) error {
	resume, err := list("resume", query["resume"])
	if w.Resume != "" {
		resume, err = list("resume", []string{w.Resume})
	}
	switch {
	case err != nil:
		return err
	case w.Plain && len(resume) > 0:
		return Rejected(http.StatusUnprocessableEntity, "resume: only with the subprotocol fanfare.v1.json")
	}
	for i, text := range resume {
		if err := w.parseResume(text); err != nil {
			return domain.At(fmt.Sprintf("resume[%d]", i), err)
		}
	}
	return nil
}

func (w *wish) parseSystems(names []string, most int) error {
	switch {
	case len(names) == 0:
		return Rejected(http.StatusUnprocessableEntity, "systems: missing: want ?systems=name,…")
	case len(names) > most:
		return Rejected(http.StatusUnprocessableEntity, "systems: at most %d, got %d", most, len(names))
	}
	for i, name := range names {
		system, err := domain.ParseSystem(name)
		if err != nil {
			return domain.At(fmt.Sprintf("systems[%d]", i), err)
		}
		if w.find(system) == nil {
			w.systems = append(w.systems, asked{system: system})
		}
	}
	if w.Plain && len(w.systems) > 1 {
		return Rejected(http.StatusUnprocessableEntity,
			"systems: a plain client takes exactly one; use the subprotocol fanfare.v1.json for more")
	}
	return nil
}

func (w *wish) parseRoom(text string) error {
	name, room, found := strings.Cut(text, "/")
	if !found {
		return &domain.FieldError{Problem: "want system/room; a room with a comma in its name " +
			"has a parameter of its own, room=system/name"}
	}
	a, err := w.named(name)
	if err != nil {
		return err
	}
	target, err := domain.RoomTarget(room)
	if err == nil && !slices.Contains(a.rooms, target) {
		a.rooms = append(a.rooms, target)
	}
	return err
}

func (w *wish) parseResume(text string) error {
	name, token, found := strings.Cut(text, ":")
	if !found {
		return &domain.FieldError{Problem: "want system:cursor"}
	}
	a, err := w.named(name)
	if err != nil {
		return err
	}
	since, err := domain.ParseCursor(token)
	if err == nil && !a.since.IsZero() && a.since != since {
		return &domain.FieldError{Problem: "system " + name + " has two different cursors"}
	}
	a.since = since
	return err
}

func (w *wish) named(name string) (*asked, error) {
	system, err := domain.ParseSystem(name)
	if err != nil {
		return nil, err
	}
	if a := w.find(system); a != nil {
		return a, nil
	}
	return nil, &domain.FieldError{Problem: "system " + name + " is not among systems"}
}

func (w *wish) find(system domain.System) *asked {
	for i := range w.systems {
		if w.systems[i].system == system {
			return &w.systems[i]
		}
	}
	return nil
}

// allowed holds what is asked for against the grant, and then against what the
// node serves.
func (reg *Registry) allowed(w *wish) error {
	for _, a := range w.systems {
		if !w.grant.MayAttach(a.system) {
			return Rejected(http.StatusForbidden, "the token does not allow system %s", a.system)
		}
		for _, room := range a.rooms {
			if !w.grant.MayJoin(a.system, room.Name()) {
				return Rejected(http.StatusForbidden, "the token does not allow room %s/%s", a.system, room.Name())
			}
		}
	}
	var faults []error
	for _, a := range w.systems {
		if !reg.hub.Serves(a.system) {
			faults = append(faults, fmt.Errorf("%s: %w", a.system, domain.ErrNotServed))
		}
	}
	return errors.Join(faults...)
}
