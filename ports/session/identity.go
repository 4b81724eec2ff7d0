package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// tokenCookie is where browsers keep a token for every request.
const tokenCookie = "fanfare_token"

// checkOrigin holds browsers, which say where their page is from, to the
// origins that are allowed.
func (reg *Registry) checkOrigin(r *http.Request) error {
	if _, allowed := reg.AllowedOrigin(r); allowed {
		return nil
	}
	hint := "it is not in origins"
	if len(reg.cfg.Origins) == 0 {
		hint = "it is not this host's over the same or a safer scheme, and origins is empty"
	}
	return &Rejection{Status: http.StatusForbidden, Detail: "origin is not allowed", reason: "origin",
		log: []any{"origin", brief(strings.Join(r.Header.Values("Origin"), ", ")), "host",
			brief(r.Host), "hint", hint}}
}

// identify finds the token and says whose it is.
func (reg *Registry) identify(
	r *http.Request, from netip.Addr, token string,
) (grant domain.Grant, err error) {
	if token, err = reg.findToken(r, token); err != nil {
		return domain.Grant{}, err
	}
	switch {
	case token != "" && reg.auth != nil:
		ctx, cancel := context.WithTimeout(r.Context(), reg.cfg.Authenticate)
		defer cancel()
		return reg.verify(ctx, from, token)
	case reg.cfg.Tokenless != nil:
		grant, err = reg.cfg.Tokenless(r)
		return reg.checked(grant, err)
	default:
		return domain.Grant{}, distrust("none", "there is none")
	}
}

// findToken looks for a token where one can be. A header beats the protocol's
// own place beats a query beats a cookie, which the client may not even know
// of.
func (reg *Registry) findToken(r *http.Request, token string) (string, error) {
	bearer, err := bearerToken(r.Header.Values("Authorization"))
	if bearer != "" || err != nil {
		return bearer, err
	}
	if token != "" {
		return token, nil
	}
	if reg.cfg.QueryToken {
		token, err = OneToken("?token=", r.URL.Query()["token"])
		if token != "" || err != nil {
			return token, err
		}
	}
	var values []string
	for _, c := range r.CookiesNamed(tokenCookie) {
		values = append(values, c.Value)
	}
	token, err = OneToken("the cookie "+tokenCookie, values)
	if token != "" && !reg.fromPage(r) {
		return "", &Rejection{Status: http.StatusForbidden, reason: "cookie",
			Detail: "a token in a cookie needs an Origin or a Referer that is named in origins, or this host's",
			log: []any{"origin", brief(r.Header.Get("Origin")), "fetch_site",
				brief(r.Header.Get("Sec-Fetch-Site")), "host", brief(r.Host)}}
	}
	return token, err
}

// bearerToken returns the token of the scheme Bearer. What else is there is not
// ours: a proxy in front may have credentials of its own, such as Basic ones,
// which browsers then send along.
func bearerToken(headers []string) (string, error) {
	var tokens []string
	for _, h := range headers {
		scheme, token := h, ""
		if i := strings.IndexAny(h, " \t"); i >= 0 {
			scheme, token = h[:i], strings.TrimSpace(h[i:])
		}
		if !strings.EqualFold(scheme, "Bearer") {
			continue
		}
		if token == "" {
			return "", distrust("malformed", "there is none behind Bearer in Authorization")
		}
		tokens = append(tokens, token)
	}
	return OneToken("Authorization", tokens)
}

// OneToken returns the token that all values are, "" if there is none. Two that
// differ are refused: two readers would not choose the same one, and whoever
// can set a cookie for a domain above could choose for the user.
func OneToken(where string, values []string) (token string, err error) {
	for _, v := range values {
		switch {
		case v == "" || v == token:
		case token == "":
			token = v
		default:
			return "", distrust("ambiguous", "there are several in %s", where)
		}
	}
	return token, nil
}

// verify says whose a token is. Only a token that the Authenticator calls wrong
// counts against the address.
func (reg *Registry) verify(ctx context.Context, from netip.Addr, token string) (domain.Grant, error) {
	leave, ok := reg.failures.enter(ctx, from, reg.now())
	if !ok {
		return domain.Grant{}, lockedOut("locked_out", nil)
	}
	grant, err := reg.checked(reg.authenticate(ctx, token, leave))
	if errors.Is(err, domain.ErrUnauthenticated) && reg.failures.note(from, reg.now()) {
		r := asRejection(err)
		return domain.Grant{}, lockedOut(r.reason, r.log)
	}
	return grant, err
}

// authenticate asks the Authenticator, and leaves the address's turn to the next
// even if that panics, which net/http recovers from.
func (reg *Registry) authenticate(
	ctx context.Context, token string, leave func(),
) (domain.Grant, error) {
	defer leave()
	return reg.auth.Authenticate(ctx, token)
}

// lockedOut refuses a client whose address has shown too many wrong tokens.
func lockedOut(reason string, log []any) error {
	return &Rejection{Status: http.StatusTooManyRequests,
		Detail: "too many wrong tokens from your address",
		Retry:  retryLater, reason: reason, log: log}
}

// checked is what an Authenticator said, unless it makes no sense.
func (reg *Registry) checked(grant domain.Grant, err error) (domain.Grant, error) {
	switch {
	case err != nil:
		return domain.Grant{}, err
	case domain.CheckUser(grant.User) != nil:
		return domain.Grant{}, distrust("claims", "its user is no name")
	case !grant.Expires.IsZero() && !grant.Expires.After(reg.now()):
		return domain.Grant{}, distrust("expired", "it has expired")
	}
	return grant, nil
}

// distrust is an error about a token that the client may know.
func distrust(reason, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	return &domain.CredentialError{Reason: reason, Detail: detail, Told: detail}
}

// fromPage says whether a browser vouches for where the request is from: its
// origin, which was checked, or that it is this very host's, for which it sends
// no Origin when it only reads. Over plain http it does not say that either,
// and then there is the Referer, which no page can forge. An origin that only
// "*" allows vouches for nothing: the cookie would serve any page.
func (reg *Registry) fromPage(r *http.Request) bool {
	if r.Header.Get("Origin") != "" {
		origin, allowed := reg.AllowedOrigin(r)
		return allowed && origin != "*"
	}
	if site := r.Header.Values("Sec-Fetch-Site"); len(site) > 0 {
		return len(site) == 1 && site[0] == "same-origin"
	}
	scheme, rest, found := strings.Cut(r.Header.Get("Referer"), "://")
	if !found {
		return false
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	o, err := parseOrigin(scheme + "://" + rest)
	return err == nil && (reg.origins.names(o) || reg.ownPage(r, o))
}

// Refresh says what a new token of the session's user entitles to. Why one is
// refused is counted and logged as when a session is opened.
func (s *Session) Refresh(ctx context.Context, token string) (domain.Grant, error) {
	if s.registry.auth == nil {
		return domain.Grant{}, fmt.Errorf("this node takes no tokens: %w", domain.ErrUnsupported)
	}
	grant, err := s.registry.verify(ctx, s.from, token)
	if err == nil && grant.User != s.User {
		err = distrust("other_user", "it is another user's")
	}
	if err != nil {
		s.registry.note(s.from, asRejection(err), "a session's new token was refused", "user", s.User,
			"session", s.ID)
	}
	return grant, err
}
