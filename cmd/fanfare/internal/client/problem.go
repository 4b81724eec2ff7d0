// Package client publishes to a node over HTTP and asks it who is there, as the fanfare
// command does it.
package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A Refusal is a node's answer that says why it did not do what it was asked. It is
// the problem of the node's HTTP API, as docs/protocol.md has it.
type Refusal struct {
	Status   int      `json:"status"`
	Detail   string   `json:"detail"`
	Errors   []Fault  `json:"errors"`
	Accepted int      `json:"accepted"` // how many messages are on the bus for sure
	IDs      []string `json:"ids"`      // of all messages, where the outcome is unknown
}

// A Fault is one thing that is wrong in a request.
type Fault struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

// Error says what the node answered and, where that helps, what to do.
func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the node answered %d %s", r.Status, http.StatusText(r.Status))
	switch {
	case r.Detail != "":
		b.WriteString(": " + r.Detail)
	case r.Status < 500:
		b.WriteString(": is there a Fanfare node at this URL?")
	}
	switch r.Status {
	case http.StatusUnauthorized:
		b.WriteString(" (give it with --key or FANFARE_KEY)")
	case http.StatusForbidden:
		b.WriteString(" (`fanfare key --scopes` makes a key that has it)")
	}
	for _, f := range r.Errors {
		fmt.Fprintf(&b, "; %s: %s", f.Location, f.Message)
	}
	return b.String()
}

// ReadRefusal reads the problem that an answer's body holds. If it holds none, only
// the status is known.
func ReadRefusal(status int, body io.Reader) *Refusal {
	r := &Refusal{}
	if json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(r) != nil {
		r = &Refusal{}
	}
	r.Status = status
	return r
}

// endpoint adds a path to a node's URL.
func endpoint(node, path string) (*url.URL, error) {
	u, err := url.Parse(node)
	if err != nil || u.Host == "" { // the URL is not shown: there may be a password in it
		return nil, errors.New("the node's URL cannot be read: want http://host:port")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf(
			"the node's URL begins with %s://: want http:// or https://", u.Scheme)
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	return u, nil
}
