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

// An eventSource is a client over Server-Sent Events, as a browser's: it comes
// back with the id of the last event. It does not wait as long as it is told
// to.
type eventSource struct {
	*Client
	http *http.Client
	hear client.Handler
	last string // event id
}

func (c *Client) newEventSource() *eventSource {
	dialed := &http.Transport{DialContext: c.dial, DisableKeepAlives: true}
	return &eventSource{Client: c, http: &http.Client{Transport: dialed}, hear: c.handler()}
}

// session connects, and hears until the connection ends.
func (s *eventSource) session(ctx context.Context) error {
	query := url.Values{"user": {s.cfg.User}, "systems": s.cfg.Systems, "rooms": s.cfg.Rooms}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.c.URL()+"/sse?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	if err := s.authorize(ctx, r.Header); err != nil {
		return err
	}
	if s.last != "" {
		r.Header.Set("Last-Event-ID", s.last)
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
	id, data := s.last, ""
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

// event takes an event; one without data moves the id alone.
func (s *eventSource) event(ctx context.Context, id, data string) error {
	if _, code, stop := strings.Cut(id, "!"); stop {
		return fmt.Errorf("%w: the node closed the session: %s", errFinal, code)
	}
	s.last = id
	if data == "" {
		return nil
	}
	return tell(ctx, []byte(data), s.hear)
}
