package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// A Control is a node's part in the control plane. Its methods are safe for concurrent
// use. None but Command waits, and what they return belongs to the caller.
type Control interface {
	// Command makes the fact k true on all nodes for ttl, or untrue if del is set. It is
	// applied on this node at once.
	//
	// With wait 0 it returns when the bus has the fact, and the outcome has only an id.
	// Otherwise it returns when all live nodes have applied the fact, or when wait is over:
	// then the outcome names those that have not, which is no error.
	//
	// The error wraps [domain.ErrInvalid], [domain.ErrLimit] if there are too many facts,
	// [domain.ErrClosed], or [domain.ErrBusDown] if the bus did not take the fact in time:
	// then the fact holds on this node, which goes on trying, and the outcome has the id.
	Command(
		ctx context.Context, k control.Key, v control.Value, ttl time.Duration,
		del bool, wait time.Duration,
	) (control.Outcome, error)

	// Blocked returns the block of a user, if there is one.
	Blocked(user string) (control.Fact, bool)
	// Member returns the membership of a user in a room, if there is one.
	Member(system domain.System, room, user string) (control.Fact, bool)
	// Members returns the memberships of a room whose users come after a name, sorted by
	// user, at most limit.
	Members(system domain.System, room, after string, limit int) []control.Fact

	// Presence returns the users in a place whose names come after a name, at most limit,
	// which is 1 or more. The error wraps [domain.ErrUnsupported] if no presence is kept
	// for the system.
	Presence(p control.Place, after string, limit int) (control.Page, error)
	// Find returns those of the users who are in a place, in their order, and whether every
	// live node is in step. Its errors are those of Presence.
	Find(p control.Place, users []string) ([]control.Present, bool, error)

	// Nodes returns the live nodes, sorted by name.
	Nodes() []control.NodeInfo
}

// An Asker asks all live nodes what each knows, and returns what they have answered when all
// have, or when ctx or a bound of its own has ended: the answers name the nodes that were
// silent. The error wraps [domain.ErrInvalid], [domain.ErrLimit] if too many questions are
// open, or [domain.ErrClosed]. It is safe for concurrent use.
type Asker interface {
	Ask(ctx context.Context, kind string, body []byte) (control.Answers, error)
}

// A route is one operation of the control plane.
type route struct {
	method, path string
	// scope is what an API key needs: the whole scope, or its first part if the path names
	// a system.
	scope string
	alone bool     // it works without the control plane: this node then answers alone
	query []string // the parameters that it takes, in the order of the documentation
	bytes int64    // most bytes of the body
	serve func(*call) (status int, answer any, _ *Problem)
	about about
}

// fullScope returns the scope that an API key needs for a system.
func (r *route) fullScope(system string) string {
	if r.scope == "admin" || !strings.Contains(r.path, "{system}") {
		return r.scope
	}
	return r.scope + "/" + system
}

// A call is a request to a route of the control plane from a caller that may make it.
type call struct {
	api     *API
	control Control
	ctx     context.Context
	key     string // the caller's API key
	from    string // the caller's address

	system  domain.System // these are what the path names, or empty
	user    string
	room    string
	session string
	node    string

	query map[string]string // what the request has of route.query
	body  []byte            // empty if there is none
}

// Controlling adds the routes of the control plane: who is there, and who must go.
func (a *API) Controlling(mux *http.ServeMux) {
	methods := map[string][]string{}
	for i := range routes {
		r := &routes[i]
		methods[r.path] = append(methods[r.path], r.method)
		if r.method == http.MethodGet {
			methods[r.path] = append(methods[r.path], http.MethodHead)
		}
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			a.steer(r, w, req)
		})
	}
	mux.HandleFunc(watching.method+" "+watching.path, a.watch)
	methods[watching.path] = []string{http.MethodGet, http.MethodHead}
	for path := range maps.Keys(methods) {
		allow := strings.Join(slices.Sorted(slices.Values(methods[path])), ", ")
		mux.HandleFunc(path, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Allow", allow)
			a.decline(w, problem(http.StatusMethodNotAllowed, "want "+allow))
		})
	}
}

// steer answers a request to a route of the control plane.
func (a *API) steer(r *route, w http.ResponseWriter, req *http.Request) {
	c := &call{api: a, control: a.cfg.Control, ctx: req.Context(), from: req.RemoteAddr}
	p := c.admit(r, req)
	if p != nil {
		a.decline(w, p)
		return
	}
	taken := a.bodies.claim(c.key)
	defer taken.release()
	a.suspendAnswer(w, req)
	if c.query, p = parameters(req, r.query); p == nil {
		c.body, p = a.object(r.bytes, w, req, taken)
	}
	if p != nil {
		a.decline(w, p)
		return
	}
	status, answer, p := r.serve(c)
	if p != nil {
		a.decline(w, p)
		return
	}
	a.answer(w, status, answer)
}

// admit checks who calls and what the path names. It does not touch the body.
func (c *call) admit(r *route, req *http.Request) *Problem {
	key, scopes, p := c.api.scopes(req, "this")
	if c.key = key; p == nil {
		p = c.names(req)
	}
	if p != nil {
		return p
	}
	scope := r.fullScope(c.system.String())
	switch {
	case !scopes.Include(scope):
		c.api.recordBadKey(req, "scope", "the key lacks "+scope)
		return problem(http.StatusForbidden,
			"this API key may not do that: it needs the scope "+scope)
	case c.control == nil && !r.alone:
		return controlOff()
	case c.system != (domain.System{}) && !c.api.node.Serves(c.system):
		return notServed(c.system)
	}
	return nil
}

func controlOff() *Problem {
	return problem(http.StatusNotImplemented,
		"the control plane is off: control.disabled is set on this node")
}

// names reads what the path names.
func (c *call) names(req *http.Request) *Problem {
	var wrong faults
	if name := req.PathValue("system"); name != "" {
		system, err := domain.ParseSystem(name)
		if err != nil {
			wrong.add("", domain.At("system", err))
		}
		c.system = system
	}
	for name, into := range map[string]*string{
		"user": &c.user, "room": &c.room, "id": &c.session, "node": &c.node,
	} {
		if *into = req.PathValue(name); *into != "" {
			if err := domain.CheckUser(*into); err != nil {
				wrong.add("", domain.At(name, err))
			}
		}
	}
	wrong.sort()
	return wrong.because(undone)
}

// undone is the detail of answers to requests with faults.
const undone = "nothing was done"

// decline answers with a problem, and counts it.
func (a *API) decline(w http.ResponseWriter, p *Problem) {
	a.count(p.Status)
	a.startAnswer(w)
	p.write(w)
}

// answer answers a request, and counts it.
func (a *API) answer(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil { // no type of an answer can fail
		a.cfg.Logger.Error("an answer cannot be written", "error", err)
		a.decline(w, problem(http.StatusInternalServerError, "the answer cannot be written"))
		return
	}
	a.count(status)
	a.startAnswer(w)
	h := w.Header()
	h["Content-Type"] = jsonType
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

func (a *API) count(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.controlled[status]++
}
