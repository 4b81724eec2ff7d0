package cluster

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/fanfarebus/fanfare/client"
)

// An eventSource is a client over Server-Sent Events, like a browser's
// EventSource: it reconnects with the id of the last event. It ignores the pause
// that the node asks for.
type eventSource struct {
	*Client
	http      *http.Client
	handler   client.Handler
	lastEvent string // id of the last event
}

func (c *Client) newEventSource() *eventSource {
	dialed := &http.Transport{DialContext: c.dial, DisableKeepAlives: true}
	return &eventSource{Client: c, http: &http.Client{Transport: dialed}, handler: c.handler()}
}

// session connects, and reads events until the connection ends.
func (s *eventSource) session(ctx context.Context) error {
	query := url.Values{"user": {s.cfg.User}, "systems": s.cfg.Systems, "rooms": s.cfg.Rooms}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.c.URL()+"/sse?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	if err := s.authorize(ctx, r.Header); err != nil {
		return err
	}
	if s.lastEvent != "" {
		r.Header.Set("Last-Event-ID", s.lastEvent)
	}
	answer, err := s.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return refused(answer)
	}
	return s.read(ctx, answer.Body)
}

// read reads events, each of which has at most one line of data.
func (s *eventSource) read(ctx context.Context, body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 16<<20)
	id, data := s.lastEvent, ""
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch value = strings.TrimPrefix(value, " "); {
		case name == "id":
			id = value
		case name == "data":
			data = value
		case lines.Text() == "":
			if err := s.event(ctx, id, data); err != nil {
				return err
			}
			data = ""
		}
	}
	return fmt.Errorf("the stream has ended: %w", lines.Err())
}

// event handles an event. An event without data only sets the last id.
func (s *eventSource) event(ctx context.Context, id, data string) error {
	if _, code, stop := strings.Cut(id, "!"); stop {
		return fmt.Errorf("%w: the node closed the session: %s", errFinal, code)
	}
	s.lastEvent = id
	if data == "" {
		return nil
	}
	return dispatch(ctx, []byte(data), s.handler)
}
