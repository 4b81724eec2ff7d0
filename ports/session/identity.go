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

// tokenCookie is the name of the cookie that may hold a token.
const tokenCookie = "fanfare_token"

// howToShow says to a client without a token where one would be looked for.
const howToShow = `there is none: send one as "Authorization: Bearer <token>", from a page as the ` +
	`subprotocol "fanfare.token.<token>" or in the cookie ` + tokenCookie

// checkOrigin refuses a request from a page whose origin is not allowed. Clients that
// are no browsers send no origin.
func (reg *Registry) checkOrigin(r *http.Request) error {
	if _, allowed := reg.AllowedOrigin(r); allowed {
		return nil
	}
	hint := "it is not in origins"
	if len(reg.cfg.Origins) == 0 {
		hint = "it is not this host's over the same or a safer scheme, and origins is empty"
	}
	sent := strings.Join(r.Header.Values("Origin"), ", ")
	return &Rejection{
		Status: http.StatusForbidden, Detail: "origin is not allowed", reason: "origin",
		log: []any{"origin", brief(sent), "host", brief(r.Host), "hint", hint},
	}
}

// identify finds out who the client is, and sets what its token or its login grants. The
// token that the port has found may be "". With an error the grant means nothing; this is
// so below, too. The grant is set where it stays, since it is large, and the stack of a
// request's goroutine is small.
func (reg *Registry) identify(
	r *http.Request, from *caller, token string, id *Identity, grant *domain.Grant,
) (err error) {
	if id.Login != nil && !id.TokensFirst {
		return reg.login(r, from, token, id, grant)
	}
	if token, err = reg.findToken(r, token, id.QueryToken); err != nil {
		return err
	}
	switch {
	case id.usesLogin(token):
		return reg.login(r, from, token, id, grant)
	case token != "" && id.Tokens != nil:
		ctx := newDeadlineContext(r.Context(), reg.cfg.Authenticate)
		defer ctx.end()
		return reg.verify(ctx, reg.failures, from.addr, id.Tokens, token, grant)
	case reg.cfg.Tokenless != nil:
		*grant, err = reg.cfg.Tokenless(r)
		return reg.checked(grant, err)
	default:
		return &domain.CredentialError{Reason: "none", Detail: "there is none", Told: howToShow}
	}
}

// findToken looks for a token wherever one can be, in this order: the header
// Authorization, what the port has found, the query, and the cookie. The cookie is
// last because the client may not even know that it sends it.
func (reg *Registry) findToken(r *http.Request, token string, inQuery bool) (string, error) {
	bearer, err := bearerToken(r.Header.Values("Authorization"))
	if bearer != "" || err != nil {
		return bearer, err
	}
	if token != "" {
		return token, nil
	}
	if inQuery {
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
	if token != "" && !reg.fromNamedPage(r) {
		return "", unsafe(r, "a token in a cookie")
	}
	return token, err
}

// unsafe refuses a credential that any page could have made the browser send. What says
// which.
func unsafe(r *http.Request, what string) error {
	return &Rejection{
		Status: http.StatusForbidden, reason: "cookie",
		Detail: what + " needs an Origin or a Referer that is named in origins, or this host's",
		log: []any{"origin", brief(r.Header.Get("Origin")),
			"fetch_site", brief(r.Header.Get("Sec-Fetch-Site")), "host", brief(r.Host)},
	}
}

// bearerToken returns the token of the scheme Bearer. It ignores other schemes: a
// proxy in front of the node may ask for credentials of its own, such as Basic ones,
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
			return "", badToken("malformed", "there is none behind Bearer in Authorization")
		}
		tokens = append(tokens, token)
	}
	return OneToken("Authorization", tokens)
}

// OneToken returns the one token among values, "" if there is none. It refuses two
// that differ: two readers might choose different ones, and an attacker who can set a
// cookie for a parent domain could choose for the user. The text where tells the
// client which values are meant.
func OneToken(where string, values []string) (token string, err error) {
	for _, v := range values {
		switch {
		case v == "" || v == token:
		case token == "":
			token = v
		default:
			return "", badToken("ambiguous", "there are several in %s", where)
		}
	}
	return token, nil
}

// verify sets what a token grants. Only a token that the [Authenticator] calls wrong
// counts against the address. With nil failures nothing counts.
func (reg *Registry) verify(
	ctx context.Context, f *failures, from netip.Addr, auth Authenticator, token string,
	grant *domain.Grant,
) error {
	leave, suspected, ok := f.enter(ctx, from, reg.now())
	if !ok {
		return lockedOut("locked_out", nil)
	}
	if w, waits := auth.(Waiter); waits && suspected {
		auth = atOnce{w}
	}
	err := reg.checked(grant, authenticate(ctx, auth, token, grant, leave))
	if errors.Is(err, domain.ErrUnauthenticated) && f.count(from, reg.now()) {
		r := asRejection(err)
		return lockedOut(r.reason, r.log)
	}
	return err
}

// authenticate asks the [Authenticator], and then calls leave, which ends the
// address's turn. It does so even if the Authenticator panics, since net/http recovers
// from that.
func authenticate(
	ctx context.Context, auth Authenticator, token string, grant *domain.Grant, leave func(),
) (err error) {
	defer leave()
	*grant, err = auth.Authenticate(ctx, token)
	return err
}

// atOnce is a [Waiter] that does not wait.
type atOnce struct{ Waiter }

func (a atOnce) Authenticate(ctx context.Context, token string) (domain.Grant, error) {
	return a.AuthenticateAtOnce(ctx, token)
}

// lockedOut refuses a client whose address has shown too many wrong tokens.
func lockedOut(reason string, log []any) error {
	return &Rejection{
		Status: http.StatusTooManyRequests, Retry: retryLater,
		Detail: "too many wrong tokens or logins from your address",
		reason: reason, log: log,
	}
}

// checked returns the error of an Authenticator, or one if what it granted makes no sense.
func (reg *Registry) checked(grant *domain.Grant, err error) error {
	switch {
	case err != nil:
		return err
	case domain.CheckUser(grant.User) != nil:
		return badToken("claims", "its user is no name")
	case !grant.Expires.IsZero() && !grant.Expires.After(reg.now()):
		return badToken("expired", "it has expired")
	}
	return nil
}

// badToken returns an error about a token of which the client may know all.
func badToken(reason, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	return &domain.CredentialError{Reason: reason, Detail: detail, Told: detail}
}

// fromNamedPage reports whether a browser says that the request is from a page that
// is named in [Config.Origins] or is this host's own. Such a page may use the user's
// cookie. An origin that only "*" allows is not enough: any page could use the cookie.
//
// Browsers send no Origin with a GET of the page's own host, but Sec-Fetch-Site; over
// plain http not that either, but the Referer, which no page can forge.
func (reg *Registry) fromNamedPage(r *http.Request) bool {
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

// Refresh returns what a new token of the session's user grants, for [Session.Renew]. If
// it is refused, the reason is counted and logged as when a session is opened.
func (s *Session) Refresh(ctx context.Context, token string) (domain.Grant, error) {
	id := s.registry.identity.Load()
	if id.Tokens == nil {
		return domain.Grant{}, fmt.Errorf("this node takes no tokens: %w", domain.ErrUnsupported)
	}
	var grant domain.Grant
	err := s.registry.verify(ctx, s.registry.failures, s.from, id.Tokens, token, &grant)
	if err == nil && grant.User != s.User {
		err = badToken("other_user", "it is another user's")
	}
	if err == nil {
		err = s.registry.checkGranted(&grant)
	}
	if err != nil {
		s.registry.record(s.from, asRejection(err), "a session's new token was refused",
			"user", s.User, "session", s.ID)
	}
	return grant, err
}
