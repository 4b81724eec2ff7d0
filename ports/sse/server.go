package sse

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

// A Server is an http.Handler that turns requests into sessions which last as
// long as their requests. It is safe for concurrent use. The Registry holds its
// sessions, and ends them.
type Server struct {
	registry *session.Registry
	cfg      Config
	now      func() time.Time
	counters counters
}

// New returns a Server whose sessions begin at registry.
func New(registry *session.Registry, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Server{registry: registry, cfg: cfg.withDefaults(), now: time.Now}, nil
}

// Stats returns what was counted since New.
func (s *Server) Stats() Stats { return s.counters.stats() }

// ServeHTTP refuses the request with problem+json, or makes it a session and
// returns when that has ended.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.allowOrigin(w.Header(), r)
	query := r.URL.Query()
	resume, stop := cutMark(lastEventID(r, query))
	switch {
	case r.Method == http.MethodOptions:
		s.preflight(w, r)
		return
	case stop && r.Method == http.MethodGet:
		s.counters.stop.Add(1)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	p, err := readProtocol(r, query, resume)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if query.Get("check") == "1" {
		s.check(w, r, p)
		return
	}
	open, err := s.registry.Open(r, p)
	if err != nil {
		s.refuse(w, r, err)
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

// lastEventParam is where EventSources that are made of something else put the
// id, as they cannot set headers everywhere.
const lastEventParam = "lastEventId"

// lastEventID is the id of the last event that the client has. The header wins:
// an EventSource sends it anew each time, while its address stays.
func lastEventID(r *http.Request, query url.Values) string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id
	}
	return query.Get(lastEventParam)
}

// flags are the parameters that are 1 or 0.
var flags = []string{"check", "cursors", "pad"}

// params are all that is read here.
var params = append([]string{lastEventParam}, flags...)

// readProtocol reads what an EventSource asks for. Resume is the id with which it
// comes back.
func readProtocol(
	r *http.Request, query url.Values, resume string,
) (session.Protocol, error) {
	if r.Method != http.MethodGet {
		return session.Protocol{}, session.Rejected(http.StatusMethodNotAllowed, "want GET")
	}
	for _, name := range flags {
		if v := query.Get(name); v != "" && v != "0" && v != "1" {
			return session.Protocol{}, session.Rejected(http.StatusUnprocessableEntity, "%s: want 1 or 0", name)
		}
	}
	return session.Protocol{
		Encoder: session.V1Encoder{}, Resume: resume, Params: params,
	}, nil
}

// check answers scripts that want to know why they get no session: neither
// WebSocket nor EventSource tells them.
func (s *Server) check(w http.ResponseWriter, r *http.Request, p session.Protocol) {
	if err := s.registry.Check(r, p); err != nil {
		s.registry.Reject(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) newClient(open *session.Session, w http.ResponseWriter, r *http.Request, query url.Values) *client {
	retry := s.cfg.Retry + rand.N(max(s.cfg.RetrySpan, 1))
	c := &client{Session: open, server: s, w: w, http: http.NewResponseController(w), timed: r.ProtoMajor > 1,
		script: newScript(open.Attachments(), retry, query.Get("pad") == "1"), cursors: query.Get("cursors") == "1"}
	c.out.bytes, c.out.frames, c.out.wake = s.cfg.OutboxBytes, s.cfg.OutboxFrames, make(chan struct{}, 1)
	return c
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

// startStream answers with the head of an event stream.
func startStream(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform") // compressed streams are held back
	h.Set("X-Accel-Buffering", "no")
	if r.ProtoMajor == 1 {
		h.Set("Connection", "close") // after a drain, to come back here would be in vain
	}
	w.WriteHeader(http.StatusOK)
}
