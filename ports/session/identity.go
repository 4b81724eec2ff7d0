package session

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// tokenCookie is where browsers keep a token for every request.
const tokenCookie = "fanfare_token"

// checkOrigin holds browsers, which say where their page is from, to the
// origins that are allowed.
func (d *Desk) checkOrigin(r *http.Request) error {
	if _, allowed := d.AllowedOrigin(r); !allowed {
		return Refused(http.StatusForbidden, "origin is not allowed")
	}
	return nil
}

// AllowedOrigin says whether the request is from a page that may open
// sessions, or from no page at all: then origin is "". It is "*" for a page
// that is allowed because all are.
func (d *Desk) AllowedOrigin(r *http.Request) (origin string, allowed bool) {
	origin = r.Header.Get("Origin")
	if origin == "" {
		return "", true
	}
	anyone := false
	for _, o := range d.cfg.Origins {
		if strings.EqualFold(o, origin) {
			return origin, true
		}
		anyone = anyone || o == "*"
	}
	u, err := url.Parse(origin)
	own := err == nil && strings.EqualFold(u.Host, r.Host)
	if anyone && !own {
		return "*", true
	}
	return origin, own && (anyone || len(d.cfg.Origins) == 0)
}

// identify finds the token and says whose it is. A header beats the protocol's
// own place beats a query beats a cookie, which the client may not even know
// of.
func (d *Desk) identify(r *http.Request, token string) (domain.Grant, error) {
	if a := r.Header.Get("Authorization"); a != "" {
		scheme, bearer, _ := strings.Cut(a, " ")
		if token = strings.TrimSpace(bearer); !strings.EqualFold(scheme, "Bearer") || token == "" {
			return domain.Grant{}, fmt.Errorf("authorization: %w", domain.ErrUnauthenticated)
		}
	}
	if token == "" && d.cfg.QueryToken {
		token = r.URL.Query().Get("token")
	}
	if c, err := r.Cookie(tokenCookie); token == "" && err == nil && c.Value != "" {
		if !d.fromPage(r) {
			return domain.Grant{}, Refused(http.StatusForbidden, "a token in a cookie needs an Origin that is named in origins, or this host's")
		}
		token = c.Value
	}
	var grant domain.Grant
	var err error
	switch {
	case token != "" && d.auth != nil:
		ctx, cancel := context.WithTimeout(r.Context(), d.cfg.Authenticate)
		defer cancel()
		grant, err = d.auth.Authenticate(ctx, token)
	case d.cfg.Tokenless != nil:
		grant, err = d.cfg.Tokenless(r)
	default:
		err = domain.ErrUnauthenticated
	}
	if err == nil && domain.CheckUser(grant.User) != nil {
		err = domain.ErrUnauthenticated
	}
	if err == nil && !grant.Expires.IsZero() && !grant.Expires.After(d.now()) {
		err = domain.ErrUnauthenticated
	}
	return grant, err
}

// fromPage says whether a browser vouches for where the request is from: its
// origin, which was checked, or that it is this very host's, for which it sends
// no Origin when it only reads. An origin that only "*" allows vouches for
// nothing: the cookie would serve any page.
func (d *Desk) fromPage(r *http.Request) bool {
	if r.Header.Get("Origin") == "" {
		return r.Header.Get("Sec-Fetch-Site") == "same-origin"
	}
	origin, allowed := d.AllowedOrigin(r)
	return allowed && origin != "*"
}

// Refresh says whose a new token is and what it entitles to.
func (s *Session) Refresh(ctx context.Context, token string) (domain.Grant, error) {
	if s.desk.auth == nil {
		return domain.Grant{}, fmt.Errorf("this node takes no tokens: %w", domain.ErrUnsupported)
	}
	return s.desk.auth.Authenticate(ctx, token)
}
