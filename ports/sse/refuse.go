package sse

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

// refuse says no. By the HTML standard any answer but an event stream ends an
// EventSource for good. One that may be let in later is therefore answered with
// a stream that tells it when to come back, and ends.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal := s.registry.Rejection(r, err)
	if !mayPass(refusal) || !wantsEvents(r) {
		refusal.Write(w)
		return
	}
	retry := time.Duration(max(refusal.Retry, 1))*time.Second + rand.N(max(s.cfg.RetrySpan, 1))
	startStream(w, r)
	s.counters.later.Add(1)
	_, _ = w.Write(laterEvent(retry, refusal)) // a client that has gone comes back all the same
}

// mayPass says whether the same request can be granted later.
func mayPass(r *session.Rejection) bool {
	return r.Status == http.StatusTooManyRequests || r.Status >= http.StatusInternalServerError
}

// wantsEvents says whether the client is an EventSource, or takes what they do.
func wantsEvents(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		if strings.Contains(strings.ToLower(accept), "text/event-stream") {
			return true
		}
	}
	return false
}

// laterEvent is all of a stream that sends its client away. It has no id: the
// client's place stays what it is.
func laterEvent(retry time.Duration, r *session.Rejection) []byte {
	s := script{retry: retry}
	return appendData(s.head(nil, ""), session.RefusedNotice(retry, r))
}
