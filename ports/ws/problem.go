package ws

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/fanfarebus/fanfare/domain"
)

// A refusal is why a connection is not upgraded, as a client gets to see it.
type refusal struct {
	status int
	detail string
	retry  int // seconds; 0 says nothing
}

func (r *refusal) Error() string { return r.detail }

func refused(status int, format string, args ...any) error {
	return &refusal{status: status, detail: fmt.Sprintf(format, args...)}
}

// retryLater is how long a client is asked to stay away when the node is busy,
// in seconds.
const retryLater = 5

// asRefusal turns any error into one, in this one place.
func asRefusal(err error) *refusal {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r
	}
	switch {
	case errors.Is(err, domain.ErrInvalid):
		return &refusal{status: http.StatusUnprocessableEntity, detail: err.Error()}
	case errors.Is(err, domain.ErrUnauthenticated):
		return &refusal{status: http.StatusUnauthorized, detail: "no valid token"}
	case errors.Is(err, domain.ErrForbidden):
		return &refusal{status: http.StatusForbidden, detail: "not allowed"}
	case errors.Is(err, domain.ErrNotServed):
		return &refusal{status: http.StatusNotFound, detail: err.Error()}
	case errors.Is(err, domain.ErrLimit):
		return &refusal{http.StatusServiceUnavailable, "this node is full", retryLater}
	default:
		return &refusal{http.StatusServiceUnavailable, "not possible now", retryLater}
	}
}

// write answers with RFC 9457 problem+json.
func (r *refusal) write(w http.ResponseWriter) {
	body, err := json.Marshal(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(r.status), r.status, r.detail})
	if err != nil {
		body = []byte(`{}`) // strings and a number can not fail
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch {
	case r.retry > 0:
		h.Set("Retry-After", strconv.Itoa(r.retry))
	case r.status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case r.status == http.StatusUpgradeRequired:
		h.Set("Upgrade", "websocket")
		h.Set("Connection", "Upgrade")
		h.Set("Sec-WebSocket-Version", "13")
	case r.status == http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodGet)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}
