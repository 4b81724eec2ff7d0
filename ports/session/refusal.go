package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/fanfarebus/fanfare/domain"
)

// A Refusal is why a request gets no session, as a client gets to see it.
type Refusal struct {
	Status int
	Detail string
	Retry  int // seconds; 0 says nothing
}

func (r *Refusal) Error() string { return r.Detail }

// Refused returns a Refusal.
func Refused(status int, format string, args ...any) error {
	return &Refusal{Status: status, Detail: fmt.Sprintf(format, args...)}
}

// retryLater is how long a client is asked to stay away when the node is busy,
// in seconds.
const retryLater = 5

// asRefusal turns any error into one, in this one place.
func asRefusal(err error) *Refusal {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return r
	}
	switch {
	case errors.Is(err, domain.ErrInvalid):
		return &Refusal{Status: http.StatusUnprocessableEntity, Detail: err.Error()}
	case errors.Is(err, domain.ErrUnauthenticated):
		return &Refusal{Status: http.StatusUnauthorized, Detail: "no valid token"}
	case errors.Is(err, domain.ErrForbidden):
		return &Refusal{Status: http.StatusForbidden, Detail: "not allowed"}
	case errors.Is(err, domain.ErrNotServed):
		return &Refusal{Status: http.StatusNotFound, Detail: err.Error()}
	case errors.Is(err, domain.ErrLimit):
		return &Refusal{http.StatusServiceUnavailable, "this node is full", retryLater}
	default:
		return &Refusal{http.StatusServiceUnavailable, "not possible now", retryLater}
	}
}

// Write answers with RFC 9457 problem+json.
func (r *Refusal) Write(w http.ResponseWriter) {
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
