package session

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// An Identity says how a [Registry] finds out who a client is.
type Identity struct {
	// Tokens checks tokens. Nil takes none: sessions cannot show a new one either.
	Tokens Authenticator
	// QueryToken allows tokens in the URL's query, where access logs may show them.
	QueryToken bool
	// Login says who a client is by its whole request; nil: only a token does.
	//
	// An error that is an [domain.ErrUnauthenticated] or an [domain.ErrForbidden] refuses
	// the client. Any other error means that nobody can say now: the client is to come
	// again. Login is safe for concurrent use, and returns when the context of the
	// request ends.
	Login func(Login) (domain.Grant, error)
	// TokensFirst lets a token decide where there is one: then Login is asked only about
	// requests without. Otherwise Login is asked about all requests, and tokens are for
	// [Session.Refresh] alone.
	TokensFirst bool
}

// A Login is a request that somebody wants to open a session with.
type Login struct {
	// Request is as the client sent it. Its context ends after [Config.Authenticate]. What
	// a browser sends by itself, such as cookies, is missing if the page is not one that
	// [Config.Origins] names or this host's own: see [Registry.fromNamedPage]. Nothing of
	// it may be changed.
	Request *http.Request
	Address netip.Addr // the client's, as far as proxies are believed
	Token   string     // what the port has found where its protocol has a token; may be ""
}

// SetIdentity replaces how clients are known, for requests and new tokens that come from
// now on. Sessions that are open stay.
func (reg *Registry) SetIdentity(id Identity) { reg.identity.Store(&id) }

// usesLogin reports whether Login is asked about a request with the token, "" for none.
func (id *Identity) usesLogin(token string) bool {
	return id.Login != nil && (token == "" || !id.TokensFirst || id.Tokens == nil)
}

// An asking is the [Authenticator] of one Login.
type asking struct {
	login  func(Login) (domain.Grant, error)
	about  Login
	hidden bool // a credential was left out of the request
	now    time.Time
}

// login sets what the login of a request grants.
func (reg *Registry) login(
	r *http.Request, from *caller, token string, id *Identity, grant *domain.Grant,
) error {
	ctx := newDeadlineContext(r.Context(), reg.cfg.Authenticate)
	defer ctx.end()
	a := &asking{login: id.Login, now: reg.now()}
	request, hidden := reg.withoutAmbient(r.WithContext(ctx))
	a.about, a.hidden = Login{request, from.whole, token}, hidden
	f := reg.logins
	if !showsSomething(request) {
		f = nil // nothing was shown that could be wrong, or a foreign page made a browser show it
	}
	err := reg.verify(ctx, f, from.addr, a, "", grant)
	if errors.Is(err, domain.ErrUnauthenticated) {
		if hidden {
			return unsafe(r, "a login that browsers send by themselves, such as a cookie,")
		}
		rejection := unauthorized(err)
		rejection.Detail = TokenDetail("no valid login", err)
		return rejection
	}
	return err
}

// Authenticate asks who the client is. What its login grants was issued now, unless it
// says something else: whoever is asked knows at this moment that it is good.
func (a *asking) Authenticate(context.Context, string) (domain.Grant, error) {
	grant, err := a.login(a.about)
	if err != nil {
		return grant, err
	}
	if grant.Issued.IsZero() {
		grant.Issued = a.now
	}
	if grant.User == "" {
		return grant, badToken("claims", "it names no user")
	}
	if err := grant.Check(); err != nil {
		return grant, &Rejection{
			Status: http.StatusServiceUnavailable, Detail: "not possible now", Retry: retryLater,
			reason: "grant", log: []any{"error", err}, failed: true,
		}
	}
	return grant, nil
}

// showsSomething reports whether a request has anything that could be a credential.
func showsSomething(r *http.Request) bool {
	return r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" ||
		r.Header.Get("Sec-WebSocket-Protocol") != "" || r.URL.Query().Get("token") != ""
}

// withoutAmbient returns the request without what a browser sends by itself, if it is not
// from a page that may use that, and reports whether it has left out something.
//
// These are cookies, of which a token may be one; Authorization, unless it is Bearer, which
// only scripts set; and the client's certificate. Programs that are no browsers send
// neither Origin nor Referer, so they keep all but cookies, as [Registry.findToken] has it.
func (reg *Registry) withoutAmbient(r *http.Request) (_ *http.Request, hidden bool) {
	if reg.fromNamedPage(r) {
		return r, false
	}
	fromPage := r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" ||
		r.Header.Get("Referer") != ""
	header := r.Header.Clone()
	if header.Get("Cookie") != "" {
		header.Del("Cookie")
		hidden = true
	}
	if fromPage {
		var kept []string
		for _, h := range header.Values("Authorization") {
			if scheme, _, _ := strings.Cut(h, " "); strings.EqualFold(scheme, "Bearer") {
				kept = append(kept, h)
			}
		}
		hidden = hidden || len(kept) < len(header.Values("Authorization"))
		header["Authorization"] = kept
	}
	if r.Header = header; fromPage && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		r.TLS, hidden = withoutCertificate(r.TLS), true
	}
	return r, hidden
}

func withoutCertificate(s *tls.ConnectionState) *tls.ConnectionState {
	without := *s
	without.PeerCertificates, without.VerifiedChains = nil, nil
	return &without
}

// Later returns an error for [Identity].Login: nobody can say now who the client is, and
// it is to come again after about the time. The cause is logged, and the client is not
// told. Zero means a few seconds.
func Later(after time.Duration, cause error) error {
	retry := retryLater
	if after > 0 {
		retry = int(math.Ceil(min(after, maxLater).Seconds()))
	}
	return &Rejection{
		Status: http.StatusServiceUnavailable, Detail: "not possible now", Retry: retry,
		reason: "later", log: []any{"error", cause}, failed: true,
	}
}

// maxLater is the longest time after which a client is asked to come again.
const maxLater = time.Hour
