package api

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// A Problem is an error answer ([RFC 9457]), with the ids of the messages that may have
// reached the bus. problemSchema says what each member means.
//
// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
type Problem struct {
	Title    string   `json:"title" example:"Unprocessable Entity"`
	Status   int      `json:"status" doc:"The HTTP status." example:"422"`
	Detail   string   `json:"detail,omitempty"`
	Errors   []Fault  `json:"errors,omitempty"`
	ID       string   `json:"id,omitempty"`
	Accepted *int     `json:"accepted,omitempty"`
	IDs      []string `json:"ids,omitempty"`

	retry  time.Duration // after how long the client may try again; 0: as retryAfter says
	reason string        // for the metrics, where the status does not say enough; see why
}

// A Fault is one thing that is wrong in a request.
type Fault struct {
	Location string `json:"location" doc:"The field's path." example:"[3].to[0]"`
	Message  string `json:"message" doc:"What is wrong with it."`
}

func problem(status int, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// because says for the metrics why: one of few words that are known here.
func (p *Problem) because(reason string) *Problem {
	p.reason = reason
	return p
}

// reasons are those of problems that have no other one, by their status.
var reasons = map[int]string{
	http.StatusBadRequest:            "malformed",
	http.StatusUnauthorized:          "unauthorized",
	http.StatusForbidden:             "scope",
	http.StatusNotFound:              "not_served",
	http.StatusMethodNotAllowed:      "method",
	http.StatusRequestTimeout:        "slow_body",
	http.StatusRequestEntityTooLarge: "too_large",
	http.StatusUnsupportedMediaType:  "media_type",
	http.StatusUnprocessableEntity:   "invalid",
	http.StatusTooManyRequests:       "rate",
	http.StatusServiceUnavailable:    "bus_unknown",
}

// why returns the reason that the metrics show.
func (p *Problem) why() string {
	if p.reason != "" {
		return p.reason
	}
	if reason, ok := reasons[p.Status]; ok {
		return reason
	}
	return "failed"
}

// retryAfter is in seconds. It is short because most interruptions of a bus are.
const retryAfter = "1"

func (p *Problem) retryAfter() string {
	if p.retry <= time.Second {
		return retryAfter
	}
	return strconv.Itoa(int(math.Ceil(p.retry.Seconds())))
}

func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", p.retryAfter())
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// invalid turns one fault of a request into its answer.
func invalid(err error) *Problem {
	var f faults
	f.add("", err)
	return f.problem()
}

// maxFaults is how many faults one answer names.
const maxFaults = 20

// faults collects what is wrong with a request. The zero value is ready.
type faults struct {
	list   []Fault
	more   bool
	status int
}

// add notes that the message at path is wrong.
func (f *faults) add(path string, err error) {
	fault, status := Fault{Location: path, Message: err.Error()}, http.StatusUnprocessableEntity
	var field *domain.FieldError
	switch {
	case errors.Is(err, envelope.ErrSyntax):
		status = http.StatusBadRequest
	case errors.Is(err, domain.ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
		fault.Location = join(path, "data")
	case errors.As(err, &field):
		fault = Fault{join(path, field.Path), field.Problem}
	}
	// Of several statuses, the one that has to be fixed first: 400, then 413, then 422.
	if f.status == 0 || status < f.status {
		f.status = status
	}
	if len(f.list) == maxFaults {
		f.more = true
		return
	}
	f.list = append(f.list, fault)
}

// join returns the path of a field in what path names.
func join(path, field string) string {
	if path == "" || field == "" || field[0] == '[' {
		return path + field
	}
	return path + "." + field
}

// problem returns the answer to a publish request, nil if there is no fault.
func (f *faults) problem() *Problem { return f.because("nothing was published") }

// because returns the answer, nil if there is no fault. The detail says what has not
// happened because of the faults.
func (f *faults) because(detail string) *Problem {
	if len(f.list) == 0 {
		return nil
	}
	switch f.status {
	case http.StatusBadRequest:
		detail = "malformed JSON: " + detail
	case http.StatusRequestEntityTooLarge:
		detail = "too large: " + detail
	}
	if f.more {
		detail += "; only the first faults are named"
	}
	p := problem(f.status, detail)
	p.Errors = f.list
	return p
}
