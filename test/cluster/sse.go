package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
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

	end *client.CloseError // how the node has said that it ends the session; nil if it has not
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
	s.end = nil
	err = s.read(ctx, answer.Body)
	if s.end != nil && !errors.Is(err, errFinal) {
		return s.closed(s.end)
	}
	return err
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

// noteClose keeps what an op says of the end of the session. The first one counts: of two
// that follow each other it says more.
func (s *eventSource) noteClose(data string) {
	var o struct {
		Op, Reason string
		Code       json.RawMessage
		Reconnect  bool
	}
	if json.Unmarshal([]byte(data), &o) != nil || o.Op != "disconnect" && o.Op != "close" || s.end != nil {
		return
	}
	s.end = &client.CloseError{Reason: o.Reason, Reconnect: o.Reconnect}
	_ = json.Unmarshal(o.Code, &s.end.Code) // without a code it ends all the same
}

// event handles an event. An event without data only sets the last id.
func (s *eventSource) event(ctx context.Context, id, data string) error {
	s.noteClose(data)
	if _, code, stop := strings.Cut(id, "!"); stop {
		if s.end == nil {
			return fmt.Errorf("%w: the node closed the session: %s", errFinal, code)
		}
		return fmt.Errorf("%w: %w", errFinal, s.end)
	}
	s.lastEvent = id
	if data == "" {
		return nil
	}
	return dispatch(ctx, []byte(data), s.handler)
}
