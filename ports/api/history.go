package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A History reads what a system's messages were. It is safe for concurrent use.
type History interface {
	// Cursor returns the cursor up to which this node has seen everything of a system.
	Cursor(ctx context.Context, system domain.System, user string) (domain.Cursor, error)
	// Page reads a part of the system's history on behalf of the asker.
	//
	// Errors of both: [domain.ErrNotServed]; [domain.ErrLimit] if there is too much to do
	// for all, and one that [Config].Greedy knows if there is for this asker;
	// [domain.ErrBusDown], [domain.ErrClosed] and the context's: nobody can say now.
	Page(ctx context.Context, system domain.System, asker stream.Asker, part stream.Part) (stream.Excerpt, error)
}

// A Clientele knows the clients that have no API key, as when they open sessions. It is
// safe for concurrent use.
type Clientele interface {
	// MayRead returns who the client of a request is, and which targets' messages of the
	// system it may read. An error is for Reject.
	MayRead(r *http.Request, system domain.System) (stream.Asker, func(domain.Target) bool, error)
	// Reject answers a request whose client is not let in.
	Reject(w http.ResponseWriter, r *http.Request, err error)
	// AllowedOrigin reports whether the request is from a page that may read the answer, or
	// from no page, and returns what to tell the browser: an origin, "*", or "" for nothing.
	AllowedOrigin(r *http.Request) (origin string, allowed bool)
}

const (
	cursorPath = "/v1/systems/{system}/cursor"
	// pageBytes bounds the messages of a page, unless it has only one.
	pageBytes = 1 << 20
	// answerBytes bounds the messages of all pages that are read or written, and
	// answerBytesEach those of one asker: clients may be slow to read.
	answerBytes     = 128 << 20
	answerBytesEach = 8 << 20
	// pageTargets bounds how many targets a page is for.
	pageTargets = 100
)

// Remembering adds GET /v1/systems/{system}/cursor and GET /v1/systems/{system}/messages.
func (a *API) Remembering(mux *http.ServeMux) {
	for path, serve := range map[string]func(*API, http.ResponseWriter, *http.Request){
		publishPath: (*API).messages, cursorPath: (*API).cursor,
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { serve(a, w, r) })
		mux.HandleFunc("OPTIONS "+path, a.preflight)
	}
	mux.HandleFunc(cursorPath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		a.decline(w, problem(http.StatusMethodNotAllowed, "want GET"))
	})
}

// preflight answers browsers that ask before they send a request with headers of a script's
// own, such as a token.
func (a *API) preflight(w http.ResponseWriter, r *http.Request) {
	a.allowOrigin(w, r)
	h := w.Header()
	allowed := a.cfg.Clientele != nil
	if allowed {
		_, allowed = a.cfg.Clientele.AllowedOrigin(r)
	}
	if !allowed {
		a.decline(w, problem(http.StatusForbidden, "origin is not allowed"))
		return
	}
	h.Set("Access-Control-Allow-Methods", http.MethodGet)
	h.Set("Access-Control-Allow-Headers", "Authorization, Cache-Control")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// allowOrigin lets pages of allowed origins read the answer, as those of sessions.
func (a *API) allowOrigin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin")
	if a.cfg.Clientele == nil {
		return
	}
	origin, allowed := a.cfg.Clientele.AllowedOrigin(r)
	if origin == "" || !allowed {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	if origin != "*" {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

// A viewing is a request to read a history, by somebody who may.
type viewing struct {
	system domain.System
	asker  stream.Asker
	may    func(domain.Target) bool // nil: any target, and all messages
	query  url.Values
}

// view finds out who wants to read which history. It answers the request and returns false
// if it is not to be read.
func (a *API) view(w http.ResponseWriter, r *http.Request, known ...string) (v viewing, ok bool) {
	a.allowOrigin(w, r)
	v, p, rejected := a.viewer(r)
	if p == nil && rejected == nil {
		v.query, p = queryOf(r, known, v.may != nil)
	}
	switch {
	case rejected != nil: // the clientele counts it
		a.cfg.Clientele.Reject(w, r, rejected)
		return v, false
	case p != nil:
		a.decline(w, p)
		return v, false
	case a.cfg.History == nil:
		a.decline(w, problem(http.StatusNotImplemented, "this node reads no histories"))
		return v, false
	}
	return v, true
}

// viewer finds out who the caller is: somebody with an API key, or a client as those of
// sessions, which the error rejected is about.
func (a *API) viewer(r *http.Request) (v viewing, _ *Problem, rejected error) {
	var err error
	if v.system, err = domain.ParseSystem(r.PathValue("system")); err != nil {
		return v, because(domain.At("system", err)), nil
	}
	if a.cfg.Clientele != nil && !a.hasKey(r) {
		v.asker, v.may, rejected = a.cfg.Clientele.MayRead(r, v.system)
		return v, nil, rejected
	}
	key, scopes, p := a.scopes(r, "this")
	if p != nil {
		return v, p, nil
	}
	if scope := "read/" + v.system.String(); !scopes.Include(scope) {
		a.recordBadKey(r, "scope", "the key lacks "+scope)
		return v, problem(http.StatusForbidden, "this API key may not do that: it needs the scope "+scope), nil
	}
	if key != "" {
		v.asker.Address = "key " + strconv.FormatUint(domain.HashID(key), 16)
	}
	return v, nil, nil
}

// hasKey reports whether the caller shows an API key, even one that has expired, or is
// somebody of whom none is wanted: in development, unless a client says who it is.
func (a *API) hasKey(r *http.Request) bool {
	key, ok := bearer(r.Header["Authorization"])
	if !ok {
		return false
	}
	_, err := a.keys.Authorize(r.Context(), key)
	var c *domain.CredentialError
	switch {
	case key == "":
		query := r.URL.Query()
		return err == nil && !query.Has("user") && !query.Has("token")
	case errors.As(err, &c):
		return c.Told != "" // which is said of known keys alone
	}
	return err == nil
}

// queryOf returns the parameters of a request. Those that say who a client is are known,
// if one is known by them.
func queryOf(r *http.Request, known []string, client bool) (url.Values, *Problem) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault("query", "it cannot be read: use % and two hexadecimal digits for special characters")
	}
	var wrong faults
	for name, list := range values {
		switch {
		case strings.HasPrefix(name, "_"), client && (name == "user" || name == "token"):
		case !slices.Contains(known, name):
			want := "this route takes no parameters"
			if len(known) > 0 {
				want = "unknown parameter: want " + strings.Join(known, ", ")
			}
			wrong.add("", &domain.FieldError{Path: name, Problem: want})
		case len(list) > 1 && name != "to":
			wrong.add("", &domain.FieldError{Path: name, Problem: "it is there more than once"})
		}
	}
	wrong.sort()
	return values, wrong.because(undone)
}

// because returns the answer to a request with a fault.
func because(err error) *Problem {
	var wrong faults
	wrong.add("", err)
	return wrong.because(undone)
}

// A systemCursor is the answer to GET /v1/systems/{system}/cursor.
type systemCursor struct {
	System string    `json:"system"`
	Cursor string    `json:"cursor"`
	Time   time.Time `json:"time"`
}

// cursor answers GET /v1/systems/{system}/cursor.
func (a *API) cursor(w http.ResponseWriter, r *http.Request) {
	v, ok := a.view(w, r)
	if !ok {
		return
	}
	asked := time.Now().Truncate(time.Millisecond).UTC()
	at, err := a.cfg.History.Cursor(r.Context(), v.system, v.asker.User)
	if err != nil {
		a.decline(w, a.unread(v.system, err))
		return
	}
	a.answer(w, http.StatusOK, systemCursor{v.system.String(), at.String(), asked})
}

// messages answers GET /v1/systems/{system}/messages.
func (a *API) messages(w http.ResponseWriter, r *http.Request) {
	v, ok := a.view(w, r, "to", "after", "before", "limit")
	if !ok {
		return
	}
	part, p := v.part()
	if p != nil {
		a.decline(w, p)
		return
	}
	part.Encoder = a.cfg.Encoder
	room := a.pages.claim(v.asker.User + "\x00" + v.asker.Address)
	defer room.release()
	if p := room.more(pageBytes); p != nil {
		a.decline(w, tooManyPages(p))
		return
	}
	a.suspendAnswer(w, r)
	x, err := a.cfg.History.Page(r.Context(), v.system, v.asker, part)
	if err != nil {
		a.decline(w, a.unread(v.system, err))
		return
	}
	size := int64(0)
	for _, m := range x.Messages {
		size += int64(len(m))
	}
	room.less(max(0, pageBytes-size)) // more than that has one message, which MessageBytes bounds
	a.writePage(w, v.system, x)
}

// tooManyPages returns the answer to an asker for whose page a budget has no room.
func tooManyPages(p *Problem) *Problem {
	if p.Status == http.StatusTooManyRequests {
		return problem(p.Status, greedy)
	}
	return problem(p.Status, busy)
}

// What askers are told of whom, or for all of whom, too much is read.
const (
	greedy = "too much is read for you: ask again later, and for fewer pages at a time"
	busy   = "this node has too much to do: ask again later"
)

// part returns what of the history is wanted.
func (v *viewing) part() (part stream.Part, _ *Problem) {
	part = stream.Part{Most: defaultLimit, Bytes: pageBytes}
	var wrong faults
	if len(v.query["to"]) > pageTargets {
		return part, fault("to", fmt.Sprintf("at most %d, got %d", pageTargets, len(v.query["to"])))
	}
	for i, text := range v.query["to"] {
		t, err := domain.ParseTarget(text)
		switch {
		case err != nil:
			wrong.add("", domain.At(fmt.Sprintf("to[%d]", i), err))
		case v.may != nil && !v.may(t):
			return part, problem(http.StatusForbidden, "to read the messages for "+t.String()+" is not granted")
		case !slices.Contains(part.Targets, t):
			part.Targets = append(part.Targets, t)
		}
	}
	if v.may != nil && len(part.Targets) == 0 {
		user, err := domain.UserTarget(v.asker.User)
		if err != nil {
			wrong.add("", domain.At("user", err))
		}
		part.Targets = []domain.Target{user, domain.Everyone}
	}
	for name, into := range map[string]*domain.Cursor{"after": &part.After, "before": &part.Before} {
		var err error
		if !v.query.Has(name) {
			continue
		}
		if *into, err = domain.ParseCursor(v.query.Get(name)); err != nil {
			wrong.add("", domain.At(name, err))
		}
	}
	if v.query.Has("after") && v.query.Has("before") {
		wrong.add("", &domain.FieldError{Path: "before", Problem: "it does not go with after"})
	}
	if v.query.Has("limit") {
		n, err := strconv.Atoi(v.query.Get("limit"))
		if part.Most = n; err != nil || n < 1 || n > maxLimit {
			wrong.add("", &domain.FieldError{
				Path: "limit", Problem: fmt.Sprintf("want a number from 1 to %d", maxLimit)})
		}
	}
	wrong.sort()
	return part, wrong.because(undone)
}

// unread returns the answer where a history cannot be read.
func (a *API) unread(system domain.System, err error) *Problem {
	switch {
	case errors.Is(err, domain.ErrNotServed):
		return notServed(system)
	case a.cfg.Greedy != nil && a.cfg.Greedy(err):
		return problem(http.StatusTooManyRequests, greedy)
	case errors.Is(err, domain.ErrLimit):
		return problem(http.StatusServiceUnavailable, busy)
	case errors.Is(err, domain.ErrClosed):
		return problem(http.StatusServiceUnavailable, "this node is shutting down: ask another one")
	case errors.Is(err, domain.ErrBusDown), errors.Is(err, context.Canceled),
		errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable,
			"this node cannot say now: it has not come so far, or the bus did not answer in time; ask again")
	case errors.Is(err, domain.ErrInvalid):
		return because(err)
	}
	a.cfg.Logger.Error("a history cannot be read", "system", system.String(), "error", err)
	return problem(http.StatusInternalServerError, "it failed; this node's log says why")
}

// writePage answers with a page.
func (a *API) writePage(w http.ResponseWriter, system domain.System, x stream.Excerpt) {
	size := 256
	for _, m := range x.Messages {
		size += len(m) + 1
	}
	body := append(make([]byte, 0, size), `{"system":"`...)
	body = append(append(body, system.String()...), `","messages":[`...)
	for i, m := range x.Messages {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, m...)
	}
	body = append(body, ']')
	if !x.Next.IsZero() {
		body = append(x.Next.Append(append(body, `,"next":"`...)), '"')
	}
	body = strconv.AppendBool(append(body, `,"complete":`...), x.Reason == "")
	if x.Reason != "" {
		body = append(append(append(body, `,"reason":"`...), x.Reason...), '"')
	}
	a.count(http.StatusOK)
	a.startAnswer(w)
	h := w.Header()
	h["Content-Type"] = jsonType
	h.Set("Content-Length", strconv.Itoa(len(body)+2))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(append(body, "}\n"...))
}
