package sse

import (
	"net/http"

	"github.com/fanfarebus/fanfare/ports/session"
)

// allowOrigin lets pages of allowed origins read the answer, even one that rejects the
// request. A page that is allowed only because all pages are may not send the user's
// cookies.
func (s *Server) allowOrigin(h http.Header, r *http.Request) {
	h.Set("Vary", "Origin")
	origin, allowed := s.registry.AllowedOrigin(r)
	if origin == "" || !allowed {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	if origin != "*" {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

// preflight answers browsers that ask before they send a request with headers of a
// script's own, such as a token.
func (s *Server) preflight(w http.ResponseWriter, r *http.Request) {
	if _, allowed := s.registry.AllowedOrigin(r); !allowed {
		s.registry.Reject(w, r, session.Rejected(http.StatusForbidden, "origin is not allowed"))
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", http.MethodGet)
	h.Set("Access-Control-Allow-Headers", "Authorization, Cache-Control, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}
