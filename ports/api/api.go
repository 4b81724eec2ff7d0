package api

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Publisher puts a system's messages on the bus, in order, as [domain.Publisher] says.
type Publisher interface {
	Publish(ctx context.Context, system domain.System, msgs ...*domain.Message) (domain.Cursor, error)
}

// An Authorizer says what an API key grants; "" stands for no key. For a key that grants
// nothing it returns [domain.ErrUnauthenticated], best as a [domain.CredentialError],
// which says why. Its errors are logged, so none may contain a part of a key. It is safe
// for concurrent use and does not block.
type Authorizer interface {
	Authorize(ctx context.Context, key string) (domain.Scopes, error)
}

// A Namer is an [Authorizer] that can say whose an API key is, for the log of commands: the
// name is no secret. It returns "" for a key that it does not know.
type Namer interface {
	NameOf(key string) string
}

// A Meter is an [Authorizer] that bounds how much is published with a key. Take counts n
// messages and returns 0, or counts nothing and returns after how long it could count them; n
// of 0 asks after how long one message could be published. It does not block.
type Meter interface {
	Take(key string, n int) (wait time.Duration)
}

// A Node reports how it is. Its methods are safe for concurrent use and do not block.
type Node interface {
	// Serves reports whether messages of the system may be published here.
	Serves(domain.System) bool
	// Health returns how the node is now.
	Health() Health
}

// An API serves the routes that its methods add to a mux. It is safe for concurrent use. It
// starts goroutines only for requests that watch, and each ends before its request.
// [API.Close] ends such requests.
type API struct {
	publisher Publisher
	keys      Authorizer
	node      Node
	cfg       Config
	ids       domain.IDs
	health    http.Handler
	openapi   []byte
	docs      page
	bodies    *budget
	pages     *budget // of histories, until they are written
	lives     *lives

	watches      atomic.Int64 // requests that watch now
	accepted     atomic.Uint64
	mu           sync.Mutex
	refused      map[string]uint64 // by reason, see Problem.why; guarded by mu
	unauthorized map[string]uint64 // by reason, at most maxReasons; guarded by mu
	controlled   map[int]uint64    // by status; guarded by mu
}

// New returns an API.
func New(p Publisher, keys Authorizer, node Node, cfg Config) (*API, error) {
	a := &API{
		publisher: p, keys: keys, node: node, cfg: cfg.withDefaults(),
		refused: map[string]uint64{}, unauthorized: map[string]uint64{}, controlled: map[int]uint64{},
		lives: newLives(),
	}
	a.bodies = newBudget(a.cfg.Bodies, a.cfg.BodiesPerKey)
	a.pages = newBudget(answerBytes, answerBytesEach)
	return a, a.describe()
}

const publishPath = "/v1/systems/{system}/messages"

// Publishing adds POST /v1/systems/{system}/messages. All paths below /v1/ for which the
// mux has no route are answered with a list of the routes that there are, those of
// Controlling included.
func (a *API) Publishing(mux *http.ServeMux) {
	mux.HandleFunc("POST "+publishPath, a.publish)
	mux.HandleFunc(publishPath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", "GET, HEAD, OPTIONS, POST")
		a.refuse(w, problem(http.StatusMethodNotAllowed, "publish with POST, read with GET"))
	})
	there := "there is nothing at this path; there are POST " + publishPath +
		", GET " + publishPath + ", GET " + cursorPath
	for _, r := range routes {
		there += ", " + r.method + " " + r.path
	}
	there += ", GET " + livePath + ", " + watching.method + " " + watching.path
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		a.refuse(w, problem(http.StatusNotFound, there).because("path"))
	})
}

// HealthChecks adds GET /healthz and GET /readyz.
func (a *API) HealthChecks(mux *http.ServeMux) {
	get(mux, "/healthz", a.health)
	get(mux, "/readyz", a.health)
}

// Unknown answers 404 for every path for which the mux has no other route.
func (a *API) Unknown(mux *http.ServeMux) {
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(http.StatusNotFound, "there is nothing at this path").write(w)
	})
}

// get adds a path that answers GET and HEAD.
func get(mux *http.ServeMux, path string, h http.Handler) {
	mux.Handle("GET "+path, h)
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", "GET, HEAD")
		problem(http.StatusMethodNotAllowed, "want GET").write(w)
	})
}

// Console adds GET /console, which page answers.
func (a *API) Console(mux *http.ServeMux, page http.Handler) { get(mux, "/console", page) }

// Admin adds GET /metrics, GET /openapi.json and GET /docs.
func (a *API) Admin(mux *http.ServeMux, metrics http.Handler) {
	get(mux, "/metrics", metrics)
	get(mux, "/docs", a.docs)
	get(mux, "/openapi.json", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(a.openapi)
	}))
}

// NoAdmin answers 404 where [API.Admin] and [API.Console] would serve something, and says where that is.
func (a *API) NoAdmin(mux *http.ServeMux) {
	for _, path := range []string{"/metrics", "/docs", "/openapi.json", "/console"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			problem(http.StatusNotFound, path+" is not public: this node serves it on admin_listen "+
				"(in a Go program, by Node.AdminHandler), or also here with the setting admin.public").write(w)
		})
	}
}

// Stats are what an [API] counts.
type Stats struct {
	Accepted uint64            // messages that the bus took
	Bodies   int64             // bytes that the bodies of requests in flight take now
	Refused  map[string]uint64 // publish requests that were refused, by why
	// Unauthorized counts requests that were refused because of their API key, by why.
	Unauthorized map[string]uint64
	Controlled   map[int]uint64 // requests to the routes of Controlling, by status
}

// Stats returns what was counted since New. Its maps belong to the caller.
func (a *API) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{
		Accepted: a.accepted.Load(), Bodies: a.bodies.inUse(),
		Refused: maps.Clone(a.refused), Unauthorized: maps.Clone(a.unauthorized),
		Controlled: maps.Clone(a.controlled),
	}
}

// refuse counts a problem, and answers with it.
func (a *API) refuse(w http.ResponseWriter, p *Problem) {
	a.mu.Lock()
	a.refused[p.why()]++
	a.mu.Unlock()
	a.startAnswer(w)
	p.write(w)
}
