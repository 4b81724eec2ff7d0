package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/fanfarebus/fanfare/domain"
)

// A Rejection says why a request gets no session, in words that the client may see.
type Rejection struct {
	Status int
	Detail string
	Retry  int // seconds until the client may try again; 0 if nothing is said about it

	reason string // for the metrics, one of a few; if empty, see Reason
	log    []any  // what only the operator sees, as arguments of slog
	failed bool   // the node or the Authenticator failed: it is not the client's fault
}

// Error returns the detail.
func (r *Rejection) Error() string { return r.Detail }

// Rejected returns a [Rejection].
func Rejected(status int, format string, args ...any) error {
	return &Rejection{Status: status, Detail: fmt.Sprintf(format, args...)}
}

// retryLater is how long a client is asked to stay away when the node is busy, in
// seconds.
const retryLater = 5

// asRejection turns any error into a Rejection. It is the one place that gives errors
// of the domain their status.
func asRejection(err error) *Rejection {
	if r := (*Rejection)(nil); errors.As(err, &r) {
		return r
	}
	switch {
	case errors.Is(err, domain.ErrInvalid):
		return &Rejection{Status: http.StatusUnprocessableEntity, Detail: err.Error()}
	case errors.Is(err, domain.ErrUnauthenticated):
		return unauthorized(err)
	case errors.Is(err, domain.ErrForbidden):
		return forbidden(err)
	case errors.Is(err, domain.ErrNotServed):
		return &Rejection{Status: http.StatusNotFound, Detail: err.Error()}
	case errors.Is(err, domain.ErrLimit):
		return &Rejection{Status: http.StatusServiceUnavailable, Detail: "this node is full",
			Retry: retryLater, reason: "full"}
	case errors.Is(err, context.Canceled): // nobody waits for the answer any more
		return &Rejection{Status: http.StatusServiceUnavailable, Detail: "not possible now",
			Retry: retryLater, reason: "gone"}
	default:
		return &Rejection{Status: http.StatusServiceUnavailable, Detail: "not possible now",
			Retry: retryLater, reason: "failed", log: []any{"error", err}, failed: true}
	}
}

// toUser returns the rejection with the user's name for the log: what the user has asked
// for is not logged, since it may be anything.
func (r *Rejection) toUser(name string) *Rejection {
	named := *r
	named.log = append(slices.Clip(r.log), "user", name)
	return &named
}

// unauthorized tells the client as much of the reason as it may know, and the operator
// all of it.
func unauthorized(err error) *Rejection {
	r := &Rejection{Status: http.StatusUnauthorized, Detail: TokenDetail("no valid token", err),
		reason: "unauthenticated", log: []any{"detail", err}}
	var c *domain.CredentialError
	if errors.As(err, &c) {
		r.reason, r.log = c.Reason, []any{"detail", c.Detail}
	}
	return r
}

// forbidden does the same for a client that is known and may not come in.
func forbidden(err error) *Rejection {
	r := &Rejection{Status: http.StatusForbidden, Detail: TokenDetail("not allowed", err)}
	var c *domain.CredentialError
	if errors.As(err, &c) {
		r.reason, r.log = c.Reason, []any{"detail", c.Detail}
	}
	return r
}

// TokenDetail returns a text about a wrong token, for its bearer: what, and as much of
// the reason in err as the bearer may know.
func TokenDetail(what string, err error) string {
	var c *domain.CredentialError
	if errors.As(err, &c) && c.Told != "" {
		return what + ": " + c.Told
	}
	return what
}

// reasons are the reasons of rejections that name none, by their status.
var reasons = map[int]string{
	http.StatusBadRequest:          "no_websocket",
	http.StatusUnauthorized:        "none",
	http.StatusForbidden:           "forbidden",
	http.StatusNotFound:            "not_served",
	http.StatusMethodNotAllowed:    "no_websocket",
	http.StatusUnprocessableEntity: "invalid",
	http.StatusUpgradeRequired:     "no_websocket",
	http.StatusTooManyRequests:     "too_many",
	http.StatusServiceUnavailable:  "unavailable",
}

// Reason returns the one word by which metrics count the rejection.
func (r *Rejection) Reason() string {
	if r.reason != "" {
		return r.reason
	}
	if reason := reasons[r.Status]; reason != "" {
		return reason
	}
	return "other"
}

// Reject counts and logs that a request gets no session, and answers it.
func (reg *Registry) Reject(w http.ResponseWriter, r *http.Request, err error) {
	reg.Rejection(r, err).Write(w)
}

// Rejection counts and logs that a request gets no session. It returns the answer,
// which the caller has to write.
func (reg *Registry) Rejection(r *http.Request, err error) *Rejection {
	rejection := asRejection(err)
	reg.counters.countRejection(rejection.Status)
	reg.record(reg.caller(r).addr, rejection, "a client was refused",
		"path", r.URL.Path, "status", rejection.Status)
	return rejection
}

// record counts a rejection by its reason and logs it. The log repeats nothing that
// the client wrote, unless it was checked or cannot be a secret: people put tokens
// into parameters and headers where no token belongs.
func (reg *Registry) record(from netip.Addr, r *Rejection, what string, args ...any) {
	reg.counters.countReason(r.Reason())
	args = append([]any{"reason", r.Reason(), "node", reg.cfg.Node, "address", from.String()}, args...)
	args = append(args, r.log...)
	if r.failed {
		reg.log.Warn(what, args...)
		return
	}
	reg.log.Info(what, args...)
}

// recordUnnamed counts and logs that a proxy does not say who its client is. A missing
// header is logged only once, since it may come from a client inside the proxies'
// network that uses no proxy.
func (reg *Registry) recordUnnamed(r *http.Request, c caller) {
	reg.counters.countUnnamed(c.unnamed)
	if c.unnamed == hopMissing && reg.headerMissing.Swap(true) {
		return
	}
	reg.log.Warn("a proxy does not say whose request it is: "+
		"all that come through it count as one client",
		"reason", c.unnamed, "proxy", brief(r.RemoteAddr),
		"header", reg.cfg.ProxyHeader, "element", brief(c.hop))
}

// brief shortens what a client wrote, for a log.
func brief(text string) string {
	const most = 100
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// Write answers with problem+json ([RFC 9457]).
//
// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
func (r *Rejection) Write(w http.ResponseWriter) {
	body, err := json.Marshal(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(r.Status), r.Status, r.Detail})
	if err != nil {
		body = []byte(`{}`) // strings and a number can not fail
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch {
	case r.Retry > 0:
		h.Set("Retry-After", strconv.Itoa(r.Retry))
	case r.Status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case r.Status == http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodGet)
	}
	w.WriteHeader(r.Status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}
