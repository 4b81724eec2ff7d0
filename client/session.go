package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// errTooBig: a frame is larger than Config.FrameBytes, and would be again.
var errTooBig = errors.New("client: a frame is larger than FrameBytes allows")

// A session is one connection to a node. Its reader is the goroutine that
// calls run; a writer, a keeper of the token and one that says goodbye are its
// own.
type session struct {
	*Client
	conn  *websocket.Conn
	out   *queue
	token string
	named []string // rooms in the request

	greeted time.Time     // when the hello came; zero before
	asked   time.Duration // how long the node asks to stay away
}

// An ending says how a session went.
type ending struct {
	err    error
	asked  time.Duration // how long the node asks to stay away
	lasted time.Duration
}

// session connects, and holds the session to its end.
func (c *Client) session(ctx context.Context, q *queue) ending {
	token, err := c.freshToken(ctx)
	if err != nil {
		return ending{err: err}
	}
	s := &session{Client: c, out: q, token: token}
	if err := s.dial(ctx); err != nil {
		end := ending{err: err}
		if r := (*Refusal)(nil); errors.As(err, &r) {
			end.asked = r.RetryAfter
		}
		return end
	}
	err = s.run(ctx)
	end := ending{err: err, asked: s.asked}
	if !s.greeted.IsZero() {
		end.lasted = time.Since(s.greeted)
	}
	return end
}

func (c *Client) freshToken(ctx context.Context) (string, error) {
	if c.cfg.Token == nil {
		return "", nil
	}
	token, err := c.cfg.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("client: getting a token: %w", err)
	}
	return token, nil
}

func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { <-ctx.Done(); s.leave() })
	work.Go(func() { s.write(ctx) })
	work.Go(func() { s.keepToken(ctx) })
	defer func() {
		cancel()
		s.disconnected()
		work.Wait()
	}()
	return s.read(ctx)
}

// leave says goodbye, so that the node need not find out.
func (s *session) leave() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = s.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(min(time.Second, s.cfg.Timeout)))
	_ = s.conn.Close()
}

func (s *session) read(ctx context.Context) error {
	s.conn.SetReadLimit(s.cfg.FrameBytes)
	pong := s.conn.PingHandler()
	s.conn.SetPingHandler(func(text string) error {
		s.await()
		return pong(text)
	})
	_ = s.conn.SetReadDeadline(time.Now().Add(s.cfg.Timeout)) // for the hello
	for {
		_, frame, err := s.conn.ReadMessage()
		if err != nil {
			return broken(err)
		}
		for line := range bytes.SplitSeq(frame, []byte("\n")) {
			if len(line) == 0 {
				continue
			}
			if err := s.take(ctx, line); err != nil {
				return err
			}
		}
		s.await()
	}
}

// await gives a node that has said hello time to speak again.
func (s *session) await() {
	if !s.greeted.IsZero() {
		_ = s.conn.SetReadDeadline(time.Now().Add(s.cfg.Silence))
	}
}

// broken says in our words why nothing more can be read.
func broken(err error) error {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return &CloseError{closed.Code, closed.Text}
	case errors.Is(err, websocket.ErrReadLimit):
		return errTooBig
	}
	return fmt.Errorf("client: reading: %w", err)
}

// take does what concerns the connection, and puts the op into the queue for
// the Handler.
func (s *session) take(ctx context.Context, line []byte) error {
	o, err := parse(line)
	if err != nil {
		return err
	}
	switch o.Name {
	case "ok":
		return s.answered(ctx, &o, nil)
	case "error":
		return s.answered(ctx, &o, &OpError{o.Code, o.Message})
	case "goaway":
		s.asked = max(millis(o.RetryMS), time.Millisecond)
	case "left":
		s.lost(o.System, o.Room)
	}
	if err := s.out.push(ctx, event{raw: line, op: o}); err != nil {
		return err
	}
	s.mu.Lock()
	s.advance(s.seen, &o)
	s.mu.Unlock()
	if o.Name == "hello" {
		s.greeted = time.Now()
		s.connected(s.named)
	}
	return nil
}

// lost notes that a new token lacks a room or, without a room, a system.
func (s *session) lost(system, room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room == "" {
		s.systems = slices.DeleteFunc(s.systems, func(name string) bool { return name == system })
	}
	s.rooms = slices.DeleteFunc(s.rooms, func(name string) bool {
		return name == system+"/"+room || room == "" && inSystem(name, system)
	})
}

func (s *session) write(ctx context.Context) {
	for ctx.Err() == nil {
		call, wait := s.nextCall()
		if call == nil {
			s.awaitCall(ctx, wait)
			continue
		}
		_ = s.conn.SetWriteDeadline(time.Now().Add(s.cfg.Timeout))
		if err := s.conn.WriteMessage(websocket.TextMessage, call.text); err != nil {
			_ = s.conn.Close() // the reader says so
			return
		}
	}
}

// awaitCall waits until there may be something to send.
func (s *session) awaitCall(ctx context.Context, wait time.Duration) {
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-s.wake:
	case <-due:
	case <-ctx.Done():
	}
}

// keepToken replaces the token before it expires.
func (s *session) keepToken(ctx context.Context) {
	for token := s.token; ; {
		wait := keepFor(token, time.Now())
		if s.cfg.Token == nil || wait == 0 || !pause(ctx, wait) {
			return
		}
		fresh, err := s.freshToken(ctx)
		if err == nil && fresh != "" {
			err = s.auth(ctx, fresh)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.cfg.Logger.Warn("client: the token could not be replaced", "err", err)
		case fresh != "":
			token = fresh
		}
	}
}

func (s *session) auth(ctx context.Context, token string) error {
	text, err := json.Marshal(map[string]string{"token": token})
	if err == nil {
		_, err = s.ask(ctx, &call{kind: callAuth, text: text})
	}
	return err
}

func (s *session) answered(ctx context.Context, o *op, refused *OpError) error {
	ref, _ := strconv.ParseUint(string(o.Ref), 10, 64) // refs begin at 1
	var err error
	if refused != nil {
		err = refused
	}
	s.mu.Lock()
	call := s.pending[ref]
	postponed := call != nil && call.late && s.postpone(call, refused)
	if call != nil && !postponed {
		s.settle(call, o.ID, err)
	}
	s.mu.Unlock()
	switch {
	case postponed:
	case call == nil && err != nil:
		s.cfg.Logger.Warn("client: an error that belongs to nothing", "ref", string(o.Ref), "err", err)
	case call != nil && call.late:
		return s.toldLate(ctx, call, refused)
	}
	return nil
}
