package ws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain"
)

// A handshake is what a request asks for and is allowed to have.
type handshake struct {
	plain    bool
	protocol string // to be answered; "" for none
	grant    domain.Grant
	systems  []asked
}

// asked is one system of a handshake.
type asked struct {
	system domain.System
	rooms  []domain.Target
	since  domain.Cursor
}

// tokenCookie and tokenProtocol are where browsers can put a token.
const (
	tokenCookie   = "fanfare_token"
	tokenProtocol = "fanfare.token."
)

// shake judges a request. The order is from cheap to dear, and nothing is told
// about systems and rooms before the client is known.
func (s *Server) shake(r *http.Request) (*handshake, error) {
	if err := checkUpgrade(r); err != nil {
		return nil, err
	}
	if err := s.checkOrigin(r); err != nil {
		return nil, err
	}
	h := &handshake{}
	subprotocol, err := h.negotiate(r)
	if err != nil {
		return nil, err
	}
	if h.grant, err = s.identify(r, subprotocol); err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refused(http.StatusUnprocessableEntity, "query: escape special characters as %%XX")
	}
	if err := h.parse(query, s.cfg); err != nil {
		return nil, err
	}
	return h, s.allowed(h)
}

// checkUpgrade sees to it that the upgrade itself can not fail.
func checkUpgrade(r *http.Request) error {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	switch {
	case r.Method != http.MethodGet:
		return refused(http.StatusMethodNotAllowed, "want GET")
	case !websocket.IsWebSocketUpgrade(r):
		return refused(http.StatusUpgradeRequired, "this is a WebSocket endpoint: connect with a WebSocket client")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return refused(http.StatusUpgradeRequired, "want WebSocket version 13")
	case err != nil || len(key) != 16:
		return refused(http.StatusBadRequest, "Sec-WebSocket-Key: want 16 bytes in base64")
	}
	return nil
}

// checkOrigin holds browsers, which say where their page is from, to the
// origins that are allowed.
func (s *Server) checkOrigin(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	for _, o := range s.cfg.Origins {
		if o == "*" || strings.EqualFold(o, origin) {
			return nil
		}
	}
	if u, err := url.Parse(origin); len(s.cfg.Origins) == 0 && err == nil && strings.EqualFold(u.Host, r.Host) {
		return nil
	}
	return refused(http.StatusForbidden, "origin is not allowed")
}

// negotiate picks the protocol and returns the token among the subprotocols.
func (h *handshake) negotiate(r *http.Request) (token string, err error) {
	var others, v1 bool
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			p = strings.TrimSpace(p)
			switch {
			case strings.HasPrefix(p, tokenProtocol):
				token = p[len(tokenProtocol):]
			case p == V1:
				v1 = true
			case p == Plain:
				h.protocol = Plain
			default:
				others = others || p != ""
			}
		}
	}
	switch {
	case v1:
		h.protocol = V1
	case h.protocol == Plain:
	case others:
		return "", refused(http.StatusUnprocessableEntity, "Sec-WebSocket-Protocol: want %s, %s, or none", V1, Plain)
	case token != "":
		// A browser fails a connection whose subprotocols are all declined,
		// and the token must not be echoed.
		return "", refused(http.StatusUnprocessableEntity, "Sec-WebSocket-Protocol: name %s or %s beside the token", V1, Plain)
	}
	h.plain = !v1
	return token, nil
}

// identify finds the token and says whose it is. A header beats a subprotocol
// beats a query beats a cookie, which the client may not even know of.
func (s *Server) identify(r *http.Request, subprotocol string) (domain.Grant, error) {
	token := subprotocol
	if a := r.Header.Get("Authorization"); a != "" {
		scheme, bearer, _ := strings.Cut(a, " ")
		if token = strings.TrimSpace(bearer); !strings.EqualFold(scheme, "Bearer") || token == "" {
			return domain.Grant{}, fmt.Errorf("authorization: %w", domain.ErrUnauthenticated)
		}
	}
	if token == "" && s.cfg.QueryToken {
		token = r.URL.Query().Get("token")
	}
	if c, err := r.Cookie(tokenCookie); token == "" && err == nil && c.Value != "" {
		if r.Header.Get("Origin") == "" {
			return domain.Grant{}, refused(http.StatusForbidden, "a token in a cookie needs an Origin")
		}
		token = c.Value
	}
	var grant domain.Grant
	var err error
	switch {
	case token != "" && s.auth != nil:
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Handshake)
		defer cancel()
		grant, err = s.auth.Authenticate(ctx, token)
	case s.cfg.Tokenless != nil:
		grant, err = s.cfg.Tokenless(r)
	default:
		err = domain.ErrUnauthenticated
	}
	if err == nil && domain.CheckUser(grant.User) != nil {
		err = domain.ErrUnauthenticated
	}
	if err == nil && !grant.Expires.IsZero() && !grant.Expires.After(s.now()) {
		err = domain.ErrUnauthenticated
	}
	return grant, err
}

// parse reads systems, rooms and resume. Each may be repeated, and is a list.
func (h *handshake) parse(query url.Values, cfg Config) error {
	if err := h.parseSystems(list(query["systems"]), cfg.Systems); err != nil {
		return err
	}
	rooms := list(query["rooms"])
	if len(rooms) > cfg.Rooms {
		return refused(http.StatusUnprocessableEntity, "rooms: at most %d, got %d", cfg.Rooms, len(rooms))
	}
	for i, text := range rooms {
		if err := h.parseRoom(text); err != nil {
			return domain.At(fmt.Sprintf("rooms[%d]", i), err)
		}
	}
	resume := list(query["resume"])
	if h.plain && len(resume) > 0 {
		return refused(http.StatusUnprocessableEntity, "resume: only with the subprotocol %s", V1)
	}
	for i, text := range resume {
		if err := h.parseResume(text); err != nil {
			return domain.At(fmt.Sprintf("resume[%d]", i), err)
		}
	}
	return nil
}

func (h *handshake) parseSystems(names []string, most int) error {
	switch {
	case len(names) == 0:
		return refused(http.StatusUnprocessableEntity, "systems: missing: want ?systems=name,…")
	case len(names) > most:
		return refused(http.StatusUnprocessableEntity, "systems: at most %d, got %d", most, len(names))
	}
	for i, name := range names {
		system, err := domain.ParseSystem(name)
		if err != nil {
			return domain.At(fmt.Sprintf("systems[%d]", i), err)
		}
		if h.find(system) == nil {
			h.systems = append(h.systems, asked{system: system})
		}
	}
	if h.plain && len(h.systems) > 1 {
		return refused(http.StatusUnprocessableEntity, "systems: a plain client takes exactly one; use the subprotocol %s for more", V1)
	}
	return nil
}

func (h *handshake) parseRoom(text string) error {
	name, room, found := strings.Cut(text, "/")
	if !found {
		return &domain.FieldError{Problem: "want system/room"}
	}
	a, err := h.named(name)
	if err != nil {
		return err
	}
	target, err := domain.RoomTarget(room)
	if err == nil && !slices.Contains(a.rooms, target) {
		a.rooms = append(a.rooms, target)
	}
	return err
}

func (h *handshake) parseResume(text string) error {
	name, token, found := strings.Cut(text, ":")
	if !found {
		return &domain.FieldError{Problem: "want system:cursor"}
	}
	a, err := h.named(name)
	if err != nil {
		return err
	}
	a.since, err = domain.ParseCursor(token)
	return err
}

func (h *handshake) named(name string) (*asked, error) {
	system, err := domain.ParseSystem(name)
	if err != nil {
		return nil, err
	}
	if a := h.find(system); a != nil {
		return a, nil
	}
	return nil, &domain.FieldError{Problem: "system " + name + " is not among systems"}
}

func (h *handshake) find(system domain.System) *asked {
	for i := range h.systems {
		if h.systems[i].system == system {
			return &h.systems[i]
		}
	}
	return nil
}

// allowed holds what is asked for against the grant, and then against what the
// node serves.
func (s *Server) allowed(h *handshake) error {
	for _, a := range h.systems {
		if !h.grant.MayAttach(a.system) {
			return refused(http.StatusForbidden, "the token does not allow system %s", a.system)
		}
		for _, room := range a.rooms {
			if !h.grant.MayJoin(a.system, room.Name()) {
				return refused(http.StatusForbidden, "the token does not allow room %s/%s", a.system, room.Name())
			}
		}
	}
	var faults []error
	for _, a := range h.systems {
		if !s.hub.Serves(a.system) {
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
