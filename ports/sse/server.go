package sse

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

// A Server is an http.Handler that makes sessions of requests. A session lasts as long
// as its request. A Server is safe for concurrent use. The [session.Registry] holds its
// sessions, and ends them.
type Server struct {
	registry *session.Registry
	cfg      Config
	now      func() time.Time
	counters counters
}

// New returns a Server whose sessions registry admits.
func New(registry *session.Registry, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Server{registry: registry, cfg: cfg.withDefaults(), now: time.Now}, nil
}

// Stats returns what was counted since New.
func (s *Server) Stats() Stats { return s.counters.stats() }

// ServeHTTP rejects the request, or makes a session of it and returns when that has
// ended.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.allowOrigin(w.Header(), r)
	query := r.URL.Query()
	resume, stop := cutMark(lastEventID(r, query))
	switch {
	case r.Method == http.MethodOptions:
		s.preflight(w, r)
		return
	case stop && r.Method == http.MethodGet:
		s.counters.stopped.Add(1)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	p, err := readProtocol(r, query, resume)
	if err != nil {
		s.reject(w, r, err)
		return
	}
	if query.Get("check") == "1" {
		s.check(w, r, p)
		return
	}
	open, err := s.registry.Open(r, p)
	if err != nil {
		s.reject(w, r, err)
		return
	}
	c := s.newClient(open, w, r, query)
	if err := c.arm(); err != nil {
		c.End(0)
		s.registry.Reject(w, r, errors.Join(errors.New("sse: this server can not stream"), err))
		return
	}
	c.begin(r)
}

// lastEventParam is the parameter in which replacements of EventSource that cannot set
// headers send the last id.
const lastEventParam = "lastEventId"

// lastEventID returns the id of the last event that the client has. The header comes
// first: an EventSource updates it each time, while its address stays the same.
func lastEventID(r *http.Request, query url.Values) string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id
	}
	return query.Get(lastEventParam)
}

// flags are the parameters that are 1 or 0.
var flags = []string{"check", "cursors", "pad"}

// params are all parameters that are read here. [session.Registry] reads the others.
var params = append([]string{lastEventParam}, flags...)

// readProtocol reads what an EventSource asks for. The id with which it comes back is
// resume.
func readProtocol(
	r *http.Request, query url.Values, resume string,
) (session.Protocol, error) {
	if r.Method != http.MethodGet {
		return session.Protocol{}, session.Rejected(http.StatusMethodNotAllowed, "want GET")
	}
	for _, name := range flags {
		if v := query.Get(name); v != "" && v != "0" && v != "1" {
			return session.Protocol{}, session.Rejected(http.StatusUnprocessableEntity,
				"%s: want 1 or 0", name)
		}
	}
	return session.Protocol{
		Encoder: session.V1Encoder{}, Resume: resume, Presence: true, Params: params,
	}, nil
}

// check answers scripts that want to know why they get no session, since neither
// WebSocket nor EventSource tells them. It makes no session.
func (s *Server) check(w http.ResponseWriter, r *http.Request, p session.Protocol) {
	if err := s.registry.Check(r, p); err != nil {
		s.registry.Reject(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) newClient(
	open *session.Session, w http.ResponseWriter, r *http.Request, query url.Values,
) *client {
	retry := s.cfg.Retry + rand.N(max(s.cfg.RetrySpan, 1))
	return &client{
		Session: open, server: s,
		script:    newScript(open.Attachments(), retry, query.Get("pad") == "1"),
		cursorOps: query.Get("cursors") == "1",
		w:         w, control: http.NewResponseController(w), idleTimed: r.ProtoMajor > 1,
		out: outbox{
			maxBytes: s.cfg.OutboxBytes, maxItems: s.cfg.OutboxFrames,
			wake: make(chan struct{}, 1),
		},
	}
}

// begin answers the request and writes the session's events until it ends.
func (c *client) begin(r *http.Request) {
	startStream(c.w, r)
	c.server.counters.sessions.Add(1)
	code := session.CloseAbnormal
	defer func() {
		c.server.counters.sessions.Add(-1)
		c.End(code)
	}()
	c.Begin(c)
	code = c.serve(r.Context())
}

// startStream answers with the header of an event stream.
func startStream(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform") // compressed streams are held back
	h.Set("X-Accel-Buffering", "no")
	if r.ProtoMajor == 1 {
		// Otherwise a client that is to go to another node when this one drains would
		// come back over the same connection.
		h.Set("Connection", "close")
	}
	w.WriteHeader(http.StatusOK)
}
