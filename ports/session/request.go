package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A connectRequest is what a client asks for when it connects, and who it is.
type connectRequest struct {
	Protocol
	from     netip.Addr // the client's address
	identity *Identity  // how the client is known
	grant    domain.Grant
	user     domain.Target // who the grant is for
	systems  []systemRequest
	first    [1]systemRequest // what systems mostly needs
	places   []control.Place  // to watch
	changes  uint64           // Registry.changes when Open began
}

// A systemRequest is what a client asks for in one system.
type systemRequest struct {
	system domain.System
	rooms  []domain.Target
	since  domain.Cursor // to resume from; zero if it does not
	last   stream.Last   // which messages it wants to have had, if since is zero

	missing domain.GapReason // why some of these do not come; "" if all do
}

// authorize reads a request and checks that the client may have what it asks
// for. The order is from cheap to expensive, and nothing is said about systems and
// rooms before the client is known.
func (reg *Registry) authorize(r *http.Request, p Protocol) (*connectRequest, error) {
	if err := reg.checkOrigin(r); err != nil {
		return nil, err
	}
	from := reg.caller(r)
	if from.unnamed != "" {
		reg.recordUnnamed(r, from)
	}
	c := &connectRequest{identity: reg.identity.Load()}
	if err := reg.identify(r, &from, p.Token, c.identity, &c.grant); err != nil {
		return nil, c.explainToken(err, r, p.Token)
	}
	if err := reg.checkGranted(&c.grant); err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Rejected(http.StatusUnprocessableEntity,
			"query: escape special characters as %%XX")
	}
	c.Protocol, c.from, c.systems = p, from.addr, c.first[:0]
	if c.user, err = domain.UserTarget(c.grant.User); err != nil {
		return nil, err // not reached: checked has looked at the name
	}
	c.grant.User = c.user.Name() // shares the target's memory
	err = c.parse(query, &reg.cfg)
	if err == nil {
		err = reg.checkGrant(c)
	}
	if err == nil {
		err = reg.checkServed(c)
	}
	if err != nil {
		return nil, asRejection(err).toUser(c.grant.User)
	}
	return c, nil
}

// checkGrant checks that the token or the login grants what the client asks for.
func (reg *Registry) checkGrant(c *connectRequest) error {
	for _, a := range c.systems {
		if !c.grant.MayAttach(a.system) {
			return Rejected(http.StatusForbidden, "system %s is not granted", a.system)
		}
		for _, room := range a.rooms {
			if !c.grant.MayJoin(a.system, room.Name()) {
				return Rejected(http.StatusForbidden,
					"room %s/%s is not granted", a.system, room.Name())
			}
		}
	}
	for _, p := range c.places {
		switch {
		case !c.grant.MayWatch(p.System, p.Room):
			return Rejected(http.StatusForbidden,
				"to see who is in %s/%s is not granted", p.System, p.Room)
		case !reg.cfg.Presence(p.System):
			return Rejected(http.StatusNotFound, "presence is not kept for system %s", p.System)
		}
	}
	return nil
}

// checkServed checks that the node serves the systems, and names all that it does
// not.
func (reg *Registry) checkServed(c *connectRequest) error {
	var faults []error
	for _, a := range c.systems {
		if !reg.hub.Serves(a.system) {
			faults = append(faults, fmt.Errorf("%s: %w", a.system, domain.ErrNotServed))
		}
	}
	return errors.Join(faults...)
}

// parse reads the query: systems, rooms and resume, which are lists, and room,
// which may be repeated.
func (c *connectRequest) parse(query url.Values, cfg *Config) error {
	if err := c.checkParams(query, cfg); err != nil {
		return err
	}
	systems, err := list("systems", query["systems"])
	if err == nil {
		err = c.parseSystems(systems, cfg.Systems)
	}
	if err == nil {
		err = c.parseRooms(query, cfg.Rooms)
	}
	if err == nil {
		err = c.parseResumes(query)
	}
	if err == nil {
		err = c.parseLasts(query)
	}
	if err == nil {
		err = c.parseTraceparent(query)
	}
	if err == nil && c.Presence {
		err = c.parsePlaces(query["presence"])
	}
	return err
}

// parsePlaces reads the places to watch: system/room, which is taken whole, or system/ for
// the system itself.
func (c *connectRequest) parsePlaces(texts []string) error {
	if len(texts) > maxWatches {
		return Rejected(http.StatusUnprocessableEntity,
			"presence: at most %d, got %d", maxWatches, len(texts))
	}
	for i, text := range texts {
		if err := c.parsePlace(text); err != nil {
			return domain.At(fmt.Sprintf("presence[%d]", i), err)
		}
	}
	return nil
}

func (c *connectRequest) parsePlace(text string) error {
	name, room, found := strings.Cut(text, "/")
	if !found {
		return &domain.FieldError{Problem: "want system/room, or system/ for the whole system"}
	}
	a, err := c.named(name)
	if err == nil && room != "" {
		_, err = domain.RoomTarget(room)
	}
	if err != nil {
		return err
	}
	c.places = append(c.places, control.Place{System: a.system, Room: room})
	return nil
}

// parseRooms reads both parameters that name rooms. Elements of the list rooms end
// at a comma, so a room with a comma in its name needs the parameter room.
func (c *connectRequest) parseRooms(query url.Values, most int) error {
	rooms, err := list("rooms", query["rooms"])
	if err != nil {
		return err
	}
	if n := len(rooms) + len(query["room"]); n > most {
		return Rejected(http.StatusUnprocessableEntity, "rooms: at most %d, got %d", most, n)
	}
	for i, text := range rooms {
		if err := c.parseRoom(text); err != nil {
			return domain.At(fmt.Sprintf("rooms[%d]", i), err)
		}
	}
	for i, text := range query["room"] {
		if err := c.parseRoom(text); err != nil {
			return domain.At(fmt.Sprintf("room[%d]", i), err)
		}
	}
	return nil
}

// parseResumes reads what the port has found, or else the parameter resume.
func (c *connectRequest) parseResumes(query url.Values) error {
	resume, err := list("resume", query["resume"])
	if c.Resume != "" {
		resume, err = list("resume", []string{c.Resume})
	}
	switch {
	case err != nil:
		return err
	case c.Plain && len(resume) > 0:
		return Rejected(http.StatusUnprocessableEntity,
			"resume: only with the subprotocol fanfare.v1.json")
	}
	for i, text := range resume {
		if err := c.parseResume(text); err != nil {
			return domain.At(fmt.Sprintf("resume[%d]", i), err)
		}
	}
	return nil
}

func (c *connectRequest) parseSystems(names []string, most int) error {
	switch {
	case len(names) == 0:
		return Rejected(http.StatusUnprocessableEntity, "systems: missing: want ?systems=name,…")
	case len(names) > most:
		return Rejected(http.StatusUnprocessableEntity,
			"systems: at most %d, got %d", most, len(names))
	}
	for i, name := range names {
		system, err := domain.ParseSystem(name)
		if err != nil {
			return domain.At(fmt.Sprintf("systems[%d]", i), err)
		}
		if c.find(system) == nil {
			c.systems = append(c.systems, systemRequest{system: system})
		}
	}
	if c.Plain && len(c.systems) > 1 {
		return Rejected(http.StatusUnprocessableEntity,
			"systems: a plain client takes exactly one; "+
				"use the subprotocol fanfare.v1.json for more")
	}
	return nil
}

func (c *connectRequest) parseRoom(text string) error {
	name, room, found := strings.Cut(text, "/")
	if !found {
		return &domain.FieldError{Problem: "want system/room; a room with a comma in its name " +
			"has a parameter of its own, room=system/name"}
	}
	a, err := c.named(name)
	if err != nil {
		return err
	}
	target, err := domain.RoomTarget(room)
	if err == nil && !slices.Contains(a.rooms, target) {
		a.rooms = append(a.rooms, target)
	}
	return err
}

func (c *connectRequest) parseResume(text string) error {
	name, token, found := strings.Cut(text, ":")
	if !found {
		return &domain.FieldError{Problem: "want system:cursor"}
	}
	a, err := c.named(name)
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

// named returns the system of that name among those that were asked for.
func (c *connectRequest) named(name string) (*systemRequest, error) {
	system, err := domain.ParseSystem(name)
	if err != nil {
		return nil, err
	}
	if a := c.find(system); a != nil {
		return a, nil
	}
	return nil, &domain.FieldError{Problem: "system " + name + " is not among systems"}
}

// find returns the system among those that were asked for, nil if it is not.
func (c *connectRequest) find(system domain.System) *systemRequest {
	for i := range c.systems {
		if c.systems[i].system == system {
			return &c.systems[i]
		}
	}
	return nil
}
