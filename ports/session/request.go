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

// Terms are what a port makes of a request by its own protocol.
type Terms struct {
	Encoder stream.Encoder
	Plain   bool   // one system, no resume, and told nothing but messages
	Token   string // if the protocol has a place of its own for it
	Resume  string // if it has one; wins over the query's
}

// Open makes a request a session that has not begun, or says why not; terms is
// asked before anything else. Who gets a Session calls its End.
func (d *Desk) Open(r *http.Request, terms func() (Terms, error)) (*Session, error) {
	w, err := d.judge(r, terms)
	if err != nil {
		return nil, err
	}
	if err := d.admit(); err != nil {
		return nil, err
	}
	s, err := d.begin(r.Context(), w)
	if err != nil {
		s.End(0)
		return nil, err
	}
	return s, nil
}

// begin attaches a session, so that nothing is missed of what is published
// after the client has its answer.
func (d *Desk) begin(ctx context.Context, w *wish) (*Session, error) {
	s := &Session{ID: domain.NewID(), User: w.grant.User, Grant: w.grant, from: w.from,
		desk: d, plain: w.Plain, slot: -1, turn: rand.IntN(1 << 16)}
	s.SetExpiry(w.grant.Expires)
	for _, asked := range w.systems {
		lease, err := d.hub.Acquire(ctx, asked.system)
		if err != nil {
			return s, err
		}
		a := &Attachment{session: s, lease: lease, rooms: asked.rooms, since: asked.since}
		a.attach(w.Encoder)
		s.systems = append(s.systems, a)
	}
	return s, nil
}

// A wish is what a request asks for and is allowed to have.
type wish struct {
	Terms
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

// judge reads a request. The order is from cheap to dear, and nothing is told
// about systems and rooms before the client is known.
func (d *Desk) judge(r *http.Request, terms func() (Terms, error)) (w *wish, err error) {
	w = &wish{}
	if w.Terms, err = terms(); err != nil {
		return nil, err
	}
	if err := d.checkOrigin(r); err != nil {
		return nil, err
	}
	from := d.caller(r)
	if from.unnamed != "" {
		d.noteUnnamed(r, from)
	}
	w.from = from.addr
	if w.grant, err = d.identify(r, w.from, w.Token); err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Refused(http.StatusUnprocessableEntity, "query: escape special characters as %%XX")
	}
	if err := w.parse(query, d.cfg); err != nil {
		return nil, err
	}
	return w, d.allowed(w)
}

// parse reads systems, rooms and resume. Each may be repeated, and is a list.
func (w *wish) parse(query url.Values, cfg Config) error {
	if err := w.parseSystems(list(query["systems"]), cfg.Systems); err != nil {
		return err
	}
	rooms := list(query["rooms"])
	if len(rooms) > cfg.Rooms {
		return Refused(http.StatusUnprocessableEntity, "rooms: at most %d, got %d", cfg.Rooms, len(rooms))
	}
	for i, text := range rooms {
		if err := w.parseRoom(text); err != nil {
			return domain.At(fmt.Sprintf("rooms[%d]", i), err)
		}
	}
	resume := list(query["resume"])
	if w.Resume != "" {
		resume = list([]string{w.Resume})
	}
	if w.Plain && len(resume) > 0 {
		return Refused(http.StatusUnprocessableEntity, "resume: only with the subprotocol fanfare.v1.json")
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
		return Refused(http.StatusUnprocessableEntity, "systems: missing: want ?systems=name,…")
	case len(names) > most:
		return Refused(http.StatusUnprocessableEntity, "systems: at most %d, got %d", most, len(names))
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
		return Refused(http.StatusUnprocessableEntity,
			"systems: a plain client takes exactly one; use the subprotocol fanfare.v1.json for more")
	}
	return nil
}

func (w *wish) parseRoom(text string) error {
	name, room, found := strings.Cut(text, "/")
	if !found {
		return &domain.FieldError{Problem: "want system/room"}
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
	a.since, err = domain.ParseCursor(token)
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
func (d *Desk) allowed(w *wish) error {
	for _, a := range w.systems {
		if !w.grant.MayAttach(a.system) {
			return Refused(http.StatusForbidden, "the token does not allow system %s", a.system)
		}
		for _, room := range a.rooms {
			if !w.grant.MayJoin(a.system, room.Name()) {
				return Refused(http.StatusForbidden, "the token does not allow room %s/%s", a.system, room.Name())
			}
		}
	}
	var faults []error
	for _, a := range w.systems {
		if !d.hub.Serves(a.system) {
			faults = append(faults, fmt.Errorf("%s: %w", a.system, domain.ErrNotServed))
		}
	}
	return errors.Join(faults...)
}

// list splits and joins the values of a parameter.
func list(values []string) (all []string) {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			if item != "" {
				all = append(all, item)
			}
		}
	}
	return all
}
