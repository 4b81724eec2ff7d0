package api

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Publisher puts a system's messages on the bus, in order; see
// domain.Publisher.
type Publisher interface {
	Publish(ctx context.Context, system domain.System, msgs ...*domain.Message) error
}

// An Authorizer says what an API key is good for, "" being no key. It answers
// domain.ErrUnauthenticated for a key that is good for nothing, best with a
// domain.CredentialError, which says why. Its errors are logged, so none may
// hold a part of a key. It is safe for concurrent use and does not block.
type Authorizer interface {
	Authorize(ctx context.Context, key string) (domain.Scopes, error)
}

// A Node tells how it is. Its methods are safe for concurrent use and do not
// block.
type Node interface {
	// Serves says whether messages of the system may be published here.
	Serves(domain.System) bool
	// Health says how the node is now.
	Health() Health
}

// Config holds what may differ between nodes. Its zero value is usable.
type Config struct {
	MessageBytes int    // most bytes of a message's data; default 64 KiB
	BodyBytes    int64  // most bytes of a request; default 4 MiB, more where two messages need it
	Batch        int    // most messages in a request; default 1,000
	Version      string // of the software, for the documentation
	Logger       *slog.Logger

	// Bodies and BodiesPerKey are how much memory the bodies of requests in
	// flight may take, of all publishers and of each API key; default 128 MiB
	// and 64 MiB, more where a single request needs it.
	Bodies, BodiesPerKey int64

	AnswerTime time.Duration // a client's to read an answer; default 10s
	BodyTime   time.Duration // a publisher's to send a body; default 30s
	BodyStall  time.Duration // most of it in which nothing comes; default 5s
}

func (c Config) withDefaults() Config {
	if c.MessageBytes <= 0 {
		c.MessageBytes = 64 << 10
	}
	if c.BodyBytes <= 0 {
		// Escaped or in base64, data grows; targets and headers come on top.
		c.BodyBytes = max(4<<20, 3*int64(c.MessageBytes)+1<<20)
	}
	if c.Batch <= 0 {
		c.Batch = 1000
	}
	// A request that is alone is always possible: its body, the double of it
	// while the buffer grows, and what is made of it.
	alone := (2 + parsed) * c.BodyBytes
	c.Bodies = max(orDefault(c.Bodies, 128<<20), alone)
	c.BodiesPerKey = max(orDefault(c.BodiesPerKey, 64<<20), alone)
	c.AnswerTime = orDefault(c.AnswerTime, 10*time.Second)
	c.BodyTime = orDefault(c.BodyTime, 30*time.Second)
	c.BodyStall = orDefault(c.BodyStall, 5*time.Second)
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func orDefault[T int64 | time.Duration](value, usual T) T {
	if value <= 0 {
		return usual
	}
	return value
}

// An API serves the routes that its methods add to a mux. It is safe for
// concurrent use and starts no goroutines.
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

	accepted atomic.Uint64
	mu       sync.Mutex
	refused  map[int]uint64    // by status; guarded by mu
	distrust map[string]uint64 // by reason, at most maxReasons; guarded by mu
}

// New returns an API.
func New(p Publisher, keys Authorizer, node Node, cfg Config) (*API, error) {
	a := &API{publisher: p, keys: keys, node: node, cfg: cfg.withDefaults(), refused: map[int]uint64{}, distrust: map[string]uint64{}}
	a.bodies = newBudget(a.cfg.Bodies, a.cfg.BodiesPerKey)
	return a, a.describe()
}

// Publishing adds POST /v1/systems/{system}/messages.
func (a *API) Publishing(mux *http.ServeMux) {
	const path = "/v1/systems/{system}/messages"
	mux.HandleFunc("POST "+path, a.publish)
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		a.refuse(w, problem(http.StatusMethodNotAllowed, "publish with POST"))
	})
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		a.refuse(w, problem(http.StatusNotFound, "there is only POST "+path))
	})
}

// HealthChecks adds GET /healthz and GET /readyz.
func (a *API) HealthChecks(mux *http.ServeMux) {
	get(mux, "/healthz", a.health)
	get(mux, "/readyz", a.health)
}

// Unknown answers every path that the mux has nothing for with 404.
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

// Admin adds GET /metrics, GET /openapi.json and GET /docs.
func (a *API) Admin(mux *http.ServeMux, metrics http.Handler) {
	get(mux, "/metrics", metrics)
	get(mux, "/docs", a.docs)
	get(mux, "/openapi.json", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(a.openapi)
	}))
}

// Stats counts what was published here since the start.
type Stats struct {
	Accepted uint64         // messages that the bus took
	Refused  map[int]uint64 // requests, by their status
	Bodies   int64          // bytes that bodies of requests in flight take now

	Unauthorized map[string]uint64 // of these, those whose API key is the reason, by why
}

// Stats returns a snapshot, the caller's own.
func (a *API) Stats() Stats {
	s := Stats{Accepted: a.accepted.Load(), Refused: map[int]uint64{}, Bodies: a.bodies.inUse()}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Unauthorized = maps.Clone(a.distrust)
	for status, n := range a.refused {
		s.Refused[status] = n
	}
	return s
}

// refuse answers with a problem and counts it.
func (a *API) refuse(w http.ResponseWriter, p *Problem) {
	a.mu.Lock()
	a.refused[p.Status]++
	a.mu.Unlock()
	a.answering(w)
	p.write(w)
}
