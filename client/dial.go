package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const protocol = "fanfare.v1.json"

// mostProblem is how many bytes of a refusal are read.
const mostProblem = 64 << 10

// dial connects. If the node or a proxy answered with an error status, the error is a
// *Refusal.
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
	dialer, release := s.dialer(ctx)
	conn, answer, err := dialer.DialContext(ctx, u.String(), header)
	release()
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

// dialer returns a Dialer whose connections are closed when ctx ends, until release is
// called. A websocket.Dialer by itself keeps waiting for the answer to its handshake when
// ctx has ended.
func (s *session) dialer(ctx context.Context) (d *websocket.Dialer, release func()) {
	copied := *s.cfg.Dialer
	d = &copied
	d.Subprotocols, d.HandshakeTimeout = []string{protocol}, s.cfg.Timeout
	guard := &guard{ctx: ctx}
	if d.NetDialContext == nil && d.NetDial == nil {
		d.NetDialContext = (&net.Dialer{}).DialContext
	} else if d.NetDialContext == nil {
		plain := d.NetDial
		d.NetDialContext = func(_ context.Context, network, addr string) (net.Conn, error) {
			return plain(network, addr)
		}
	}
	d.NetDialContext = guard.over(d.NetDialContext)
	if d.NetDialTLSContext != nil {
		d.NetDialTLSContext = guard.over(d.NetDialTLSContext)
	}
	return d, guard.release
}

type dial func(ctx context.Context, network, addr string) (net.Conn, error)

// A guard closes connections when its ctx ends.
type guard struct {
	ctx  context.Context
	mu   sync.Mutex
	stop []func() // guarded by mu
}

// over returns a dial whose connections the guard closes.
func (g *guard) over(next dial) dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		closed := make(chan struct{})
		stop := context.AfterFunc(g.ctx, func() { defer close(closed); _ = conn.Close() })
		g.mu.Lock()
		defer g.mu.Unlock()
		g.stop = append(g.stop, func() {
			if !stop() {
				<-closed
			}
		})
		return conn, nil
	}
}

// release ends the guard. If ctx ended before, it returns when the connections are
// closed.
func (g *guard) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, stop := range g.stop {
		stop()
	}
}

// query adds systems, rooms and cursors to the query that Config.URL has already.
func (s *session) query(q url.Values) url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.named = fitting(s.rooms)
	if s.previous != nil {
		s.previous.recorder = &s.overlap // from what seen holds now
	}
	q.Del("resume")
	q.Del("last")
	q["systems"] = []string{strings.Join(s.systems, ",")}
	// rooms is a list with commas between its elements. A room whose name has a comma
	// is named by a parameter room of its own.
	lists := map[string][]string{}
	for _, name := range s.named {
		param := "rooms"
		if strings.Contains(name, ",") {
			param = "room"
		}
		lists[param] = append(lists[param], name)
	}
	maps.Copy(q, lists)
	for _, system := range slices.Sorted(slices.Values(s.systems)) {
		if at := s.seen[system]; at != "" {
			q.Add("resume", system+":"+at)
		} else if last, ok := s.cfg.Last[system]; ok {
			q.Add("last", system+":"+last.String())
		}
	}
	return q
}

// refusal reads an answer. If its body is a problem by RFC 9457, what that says is
// taken over.
func refusal(answer *http.Response) *Refusal {
	r := &Refusal{}
	if json.NewDecoder(io.LimitReader(answer.Body, mostProblem)).Decode(r) != nil {
		r = &Refusal{}
	}
	r.Status, r.RetryAfter = answer.StatusCode, retryAfter(answer.Header, time.Now())
	r.byNode = strings.HasPrefix(answer.Header.Get("Content-Type"), "application/problem+json")
	return r
}
