package fanfare

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A Grant says who a client is and what it may do; whatever it does not name is denied. It
// is what a token says, and what an authenticator returns ([WithAuthenticator]).
type Grant = domain.Grant

// WithAuthenticator lets the program say who a client is that opens /ws or /sse, by the
// whole request: by the session cookie that its users have anyway, or whatever else it goes
// by. Tokens are not read then.
//
// authenticate is called for each request before it is answered, from many goroutines at a
// time. The context of the request ends when the client goes away, and after ten seconds at
// the latest: authenticate must return then. It must not change the request.
//
// A [Grant] that it returns lets the client in:
//
//   - Grant.Expires is when the session ends (close code 4001). Zero means that it stays open
//     until the client goes, however long: let it end with [Node.Disconnect] when the user
//     logs out, or set Expires to when the login ends.
//   - Grant.Issued is compared with the time in [Node.RevokeUser]. Zero means now, since the
//     program has just found the login good.
//   - Grant.Token is the name of this login for [Node.RevokeToken]; it may be "".
//
// An error keeps the client out. [Refuse] makes one that says why, and [Forbid] one after
// which no other login of the user would help. [TryLater] makes one for when nobody can say;
// an error that a context has ended counts as such. Any other error is answered 401 without
// saying why, and logged. A grant that makes no sense, such as one with a pattern that can
// match nothing, is logged and answered 503.
//
// Pages of other sites cannot use the login: unless [Config].Origins names the page that a
// request is from, or it is this host's own, the request comes without its cookies, without
// an Authorization other than Bearer, and without the client's certificate. Requests that say
// nothing of a page, as those of programs, come without their cookies; a program that has a
// user's cookie can send the header Origin. What a proxy in front of the node makes of a cookie,
// or a middleware, such as a value in the context of the request, is not known to come from one:
// read the cookie in authenticate, or do not allow the origin "*" where a login goes by that.
//
// A session that was opened so cannot be given a new token, unless Config.Auth.JWT says which
// tokens count: they must be of the same user then. Only [New] uses this option; nil is none.
func WithAuthenticator(authenticate func(*http.Request) (Grant, error)) Option {
	if authenticate == nil {
		return func(*options) {}
	}
	return func(o *options) {
		o.login = func(l session.Login) (domain.Grant, error) {
			grant, err := authenticate(l.Request)
			return grant, classified(err)
		}
	}
}

// classified makes a refusal of an error that is none of those that say more.
func classified(err error) error {
	var answer *session.Rejection
	switch {
	case err == nil, errors.As(err, &answer):
		return err
	case errors.Is(err, domain.ErrUnauthenticated), errors.Is(err, domain.ErrForbidden):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	}
	return &domain.CredentialError{Reason: "refused", Detail: err.Error()}
}

// Refuse returns an error for an authenticator ([WithAuthenticator]): the client is not logged
// in, and is answered 401. The reason is a word by which metrics count, of a-z, 0-9 and _, such
// as "expired" or "no_cookie"; another one becomes "refused". The client is told the detail,
// and so is the log.
func Refuse(reason, detail string) error {
	return &domain.CredentialError{Reason: word(reason), Detail: detail, Told: detail}
}

// Forbid is [Refuse] for a client that is known and may not come in, whatever login it shows:
// it is answered 403, and clients of Fanfare do not try again.
func Forbid(reason, detail string) error {
	return &domain.CredentialError{
		Reason: word(reason), Detail: detail, Told: detail, Forbidden: true,
	}
}

// TryLater returns an error for an authenticator ([WithAuthenticator]) that cannot say now who
// the client is, since a database is down, for example. The client is answered 503, and asked
// to come again after about the time; zero means a few seconds. The cause is logged, and the
// client is not told.
func TryLater(after time.Duration, cause error) error { return session.Later(after, cause) }

var reasonForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// word returns a reason that metrics may count by.
func word(reason string) string {
	if !reasonForm.MatchString(reason) {
		return "refused"
	}
	return reason
}
