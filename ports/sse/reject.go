package sse

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

// reject answers a request that gets no session. By the HTML standard, any answer but
// an event stream ends an EventSource for good. A client that may be let in later is
// therefore answered with a stream that tells it when to come back, and ends.
func (s *Server) reject(w http.ResponseWriter, r *http.Request, err error) {
	rejection := s.registry.Rejection(r, err)
	if !mayPass(rejection) || !wantsEvents(r) {
		rejection.Write(w)
		return
	}
	retry := time.Duration(max(rejection.Retry, 1))*time.Second + rand.N(max(s.cfg.RetrySpan, 1))
	startStream(w, r)
	s.counters.sentAway.Add(1)
	_, _ = w.Write(sentAwayEvent(retry, rejection)) // a client that has gone comes back anyway
}

// mayPass reports whether the same request may get a session later.
func mayPass(r *session.Rejection) bool {
	return r.Status == http.StatusTooManyRequests || r.Status >= http.StatusInternalServerError
}

// wantsEvents reports whether the client is an EventSource, or understands the same.
func wantsEvents(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		if strings.Contains(strings.ToLower(accept), "text/event-stream") {
			return true
		}
	}
	return false
}

// sentAwayEvent makes the one event of a stream that sends its client away. It has no
// id, so the client keeps the one that it has.
func sentAwayEvent(retry time.Duration, r *session.Rejection) []byte {
	s := script{retry: retry}
	return appendData(s.head(nil, ""), session.RejectionNotice(retry, r))
}
