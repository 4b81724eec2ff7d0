package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const protocol = "fanfare.v1.json"

// mostProblem is how much of a refusal is read.
const mostProblem = 64 << 10

// dial connects, or says why not: with a *Refusal if it was the node's answer.
func (s *session) dial(ctx context.Context) error {
	u, err := s.cfg.endpoint()
	if err != nil {
		return err
	}
	u.RawQuery = s.query(u.Query()).Encode()
	header := http.Header{}
	if s.token != "" {
		header.Set("Authorization", "Bearer "+s.token)
	}
	dialer := *s.cfg.Dialer
	dialer.Subprotocols, dialer.HandshakeTimeout = []string{protocol}, s.cfg.Timeout
	conn, answer, err := dialer.DialContext(ctx, u.String(), header)
	switch {
	case err == nil && conn.Subprotocol() != protocol:
		_ = conn.Close()
		return fmt.Errorf("%w: it does not speak %s", ErrProtocol, protocol)
	case err == nil:
		s.conn = conn
		return nil
	case answer != nil && answer.StatusCode >= 300:
		return refusal(answer)
	}
	return fmt.Errorf("client: connecting: %w", err)
}

// query adds to what the URL asks for already.
func (s *session) query(q url.Values) url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.named = slices.Clone(s.rooms)
	q["systems"] = []string{strings.Join(s.systems, ",")}
	if len(s.named) > 0 {
		q["rooms"] = s.named
	}
	for _, system := range slices.Sorted(maps.Keys(s.seen)) {
		if slices.Contains(s.systems, system) {
			q.Add("resume", system+":"+s.seen[system])
		}
	}
	return q
}

// refusal reads an answer's problem, as far as it is one.
func refusal(answer *http.Response) *Refusal {
	r := &Refusal{}
	if json.NewDecoder(io.LimitReader(answer.Body, mostProblem)).Decode(r) != nil {
		r = &Refusal{}
	}
	r.Status, r.RetryAfter = answer.StatusCode, retryAfter(answer.Header, time.Now())
	return r
}
