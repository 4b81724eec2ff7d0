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
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// errTooBig ends Run: a frame was larger than Config.FrameBytes, and on the next
// connection it would come again.
var errTooBig = errors.New("client: a frame is larger than FrameBytes allows")

// errGivenUp ends a session that cannot take over from the previous one.
var errGivenUp = errors.New("client: this session cannot continue the one before")

// A session is one connection to a node. The goroutine that calls run reads. Three
// others, which run starts and waits for, write calls, replace the token, and close the
// connection when the context ends.
type session struct {
	*Client
	conn  *websocket.Conn
	out   *queue
	token string
	named []string      // the rooms in the address of the connection
	wake  chan struct{} // holds a token when the writer may have something to send

	greeted  time.Time          // when the hello came; zero before
	asked    time.Duration      // how long the node asked to wait before connecting again
	graceful bool               // the node left time to connect to another one
	end      ending             // complete when live has returned
	stop     context.CancelFunc // ends the goroutines that write calls and replace the token
	whole    context.Context    // that of Client.session, which outlives this session

	// Of a session that follows another one, or is followed: see move.go.
	previous *session           // nil unless this one is to replace another
	next     *session           // nil unless the node has asked the client to go
	cancel   context.CancelFunc // gives the session up; nil without a previous one
	done     chan struct{}      // closed when a session with a previous one has ended
	tookOver bool               // it has replaced the previous one
	answers  chan struct{}      // holds a token when a call on this session was settled
	turn     sync.Mutex         // held while an op is delivered; guards over
	over     bool               // nothing is read any more, and end is complete
	retired  atomic.Bool        // another session has replaced it; set with turn held
	moving   bool               // calls about rooms and presence are not sent; guarded by mu
	gone     bool               // it brings no answers any more; guarded by mu
	acks     acks               // guarded by mu
	written  chan struct{}      // closed when write has returned
	overlap  overlap            // what the previous one has brought meanwhile; guarded by mu
	recorder *overlap           // that of the next one while it has not taken over; guarded by mu
}

// An ending says how a session went.
type ending struct {
	err      error
	asked    time.Duration // how long the node asked to wait before connecting again
	graceful bool          // the node left time to connect to another one before
	lasted   time.Duration // from the hello on; 0 without one
}

// session connects, and returns when the session has ended: it or, if others have followed it
// without a pause, the last one of them.
func (c *Client) session(ctx context.Context, q *queue) ending {
	s := c.newSession(ctx, q)
	s.live(ctx)
	for s.next != nil {
		<-s.next.done
		switch next := s.next; {
		case next.tookOver:
			s = next
		case wantsToken(s.end.err) && isUnauthorized(next.end.err):
			return s.end // the next one came with a token of before
		case c.final(next.end.err) && !c.final(s.end.err):
			return next.end
		default:
			return s.end
		}
	}
	return s.end
}

func (c *Client) newSession(ctx context.Context, q *queue) *session {
	return &session{
		Client: c, whole: ctx, out: q, wake: make(chan struct{}, 1),
		done: make(chan struct{}), answers: make(chan struct{}, 1), written: make(chan struct{}),
	}
}

// live connects, and returns when the session has ended. The end is in s.end.
func (s *session) live(ctx context.Context) {
	end := s.connect(ctx)
	s.turn.Lock()
	s.end, s.over = end, true
	s.turn.Unlock()
	if s.next != nil && s.final(end.err) && !s.retired.Load() {
		s.next.cancel()
	}
}

func (s *session) connect(ctx context.Context) ending {
	token, err := s.freshToken(ctx)
	if err != nil {
		return ending{err: err}
	}
	s.token = token
	if err := s.dial(ctx); err != nil {
		end := ending{err: err}
		if r := (*Refusal)(nil); errors.As(err, &r) {
			end.asked = r.RetryAfter
		}
		return end
	}
	err = s.run(ctx)
	end := ending{err: err, asked: s.asked, graceful: s.graceful}
	if !s.greeted.IsZero() {
		end.lasted = time.Since(s.greeted)
	}
	return end
}

// freshToken asks Config.Token for a token; it returns "" if there are none.
func (c *Client) freshToken(ctx context.Context) (string, error) {
	if c.cfg.Token == nil {
		return "", nil
	}
	select { // two sessions may need one at the same time
	case c.tokenTurn <- struct{}{}:
		defer func() { <-c.tokenTurn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	token, err := c.cfg.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("client: getting a token: %w", err)
	}
	return token, nil
}

// run reads until the connection is lost or ctx ends. It always returns an error.
func (s *session) run(ctx context.Context) error {
	own, cancel := context.WithCancel(ctx)
	helping, stop := context.WithCancel(own)
	s.stop = stop
	var work sync.WaitGroup
	work.Go(func() { <-own.Done(); s.awaitWriter(); s.leave() })
	work.Go(func() { defer close(s.written); s.write(helping) })
	work.Go(func() { s.keepToken(helping) })
	defer func() {
		cancel()
		s.disconnected()
		work.Wait()
	}()
	return s.read(ctx)
}

// leave closes the connection with a close frame, so that the node knows at once.
func (s *session) leave() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	deadline := time.Now().Add(min(time.Second, s.cfg.Timeout))
	_ = s.conn.WriteControl(websocket.CloseMessage, bye, deadline)
	_ = s.conn.Close()
}

// read handles what the node sends: frames with one op a line.
func (s *session) read(ctx context.Context) error {
	s.conn.SetReadLimit(s.cfg.FrameBytes)
	pong := s.conn.PingHandler()
	s.conn.SetPingHandler(func(text string) error {
		s.extendDeadline()
		return pong(text)
	})
	_ = s.conn.SetReadDeadline(time.Now().Add(s.cfg.Timeout)) // for the hello
	for {
		_, frame, err := s.conn.ReadMessage()
		if err != nil {
			return readError(err)
		}
		for line := range bytes.SplitSeq(frame, []byte("\n")) {
			if len(line) == 0 {
				continue
			}
			if err := s.receive(ctx, line); err != nil {
				return err
			}
		}
		s.extendDeadline()
	}
}

// extendDeadline gives a node that has said hello Config.Silence for what it sends
// next. Until the hello, the deadline is Config.Timeout after connecting.
func (s *session) extendDeadline() {
	if !s.greeted.IsZero() && !s.retired.Load() {
		_ = s.conn.SetReadDeadline(time.Now().Add(s.cfg.Silence))
	}
}

// readError turns the error of a read into one of this package.
func readError(err error) error {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return &CloseError{Code: closed.Code, Reason: closed.Text}
	case errors.Is(err, websocket.ErrReadLimit):
		return errTooBig
	}
	return fmt.Errorf("client: reading: %w", err)
}

// receive does what an op means for the connection, and puts those that are for the
// Handler into the queue.
func (s *session) receive(ctx context.Context, line []byte) error {
	o, err := parse(line)
	if err != nil {
		return err
	}
	if o.Name == "ok" || o.Name == "error" {
		return s.receiveAnswer(ctx, &o)
	}
	if s.retired.Load() {
		return nil // what it means for the client, the new connection says, too
	}
	switch o.Name {
	case "hello":
		if !s.takeOver() {
			return errGivenUp
		}
	case "goaway":
		s.asked = max(millis(o.RetryMS), time.Millisecond)
	case "left":
		s.forgetLeft(o.System, o.Room)
	case "presence":
		s.forgetUnwatched(&o)
	}
	if err := s.deliver(ctx, line, &o); err != nil {
		return err
	}
	switch o.Name {
	case "hello":
		s.greeted = time.Now()
		s.connected(s.named)
		s.retire()
	case "goaway":
		if grace := millis(o.GraceMS); grace > 0 && !s.greeted.IsZero() {
			s.goAway(grace)
		}
	case "disconnect":
		// The close frame that follows says no more, and may be lost.
		return o.disconnect()
	}
	return nil
}

// receiveAnswer does what the answer to a call means.
func (s *session) receiveAnswer(ctx context.Context, o *op) (err error) {
	if o.Name == "ok" {
		err = s.answered(ctx, o, nil)
	} else {
		err = s.answered(ctx, o, &OpError{string(o.Code), o.Message})
	}
	s.leaveIfAnswered()
	return err
}

// forgetLeft removes what the node has taken the session out of: a room or, if room is
// empty, a system with all its rooms. Later connections do not ask for it again.
func (s *session) forgetLeft(system, room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room == "" {
		s.systems = slices.DeleteFunc(s.systems, func(name string) bool { return name == system })
	}
	s.rooms = slices.DeleteFunc(s.rooms, func(name string) bool {
		return name == system+"/"+room || room == "" && inSystem(name, system)
	})
}

// write sends calls, and acknowledges messages, until ctx ends or a write fails.
func (s *session) write(ctx context.Context) {
	for ctx.Err() == nil {
		text, wait := s.nextText()
		if text == nil {
			s.awaitCall(ctx, wait)
			continue
		}
		_ = s.conn.SetWriteDeadline(time.Now().Add(s.cfg.Timeout))
		if err := s.conn.WriteMessage(websocket.TextMessage, text); err != nil {
			_ = s.conn.Close() // then read fails, and the session ends
			return
		}
	}
	s.lastAcks()
}

// nextText returns what to send next; nil if there is nothing now. If there will be something
// at a certain time, wait is how long to wait for it.
func (s *session) nextText() (text []byte, wait time.Duration) {
	call, wait := s.nextCall(s)
	if call != nil {
		return call.text, 0
	}
	text, due := s.takeAcks(time.Now())
	return text, sooner(wait, due)
}

// awaitCall waits until there may be something to send: for a signal, or for wait if
// that is not 0.
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

// keepToken replaces the token before it expires, again and again.
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

// auth sends a new token, and returns when the node has answered.
func (s *session) auth(ctx context.Context, token string) error {
	text, err := json.Marshal(map[string]string{"token": token})
	if err == nil {
		_, err = s.ask(ctx, &call{kind: callAuth, text: text})
	}
	return err
}

// answered settles the call that an op answers; refused is nil if the node did what was
// asked.
func (s *session) answered(ctx context.Context, o *op, refused *OpError) error {
	ref, _ := strconv.ParseUint(string(o.Ref), 10, 64) // 0 is no ref: they begin at 1
	var err error
	if refused != nil {
		err = refused
	}
	s.mu.Lock()
	call := s.pending[ref]
	own := call != nil && (call.late || call.again)
	postponed := own && s.postpone(call, refused)
	if call != nil && !postponed {
		call.last = o.Last
		s.settle(call, o.ID, err)
	}
	s.mu.Unlock()
	switch {
	case postponed:
	case call == nil && err != nil:
		s.cfg.Logger.Warn("client: an error that belongs to nothing",
			"ref", string(o.Ref), "err", err)
	case own && call.late:
		return s.lateAnswered(ctx, call, refused)
	case own && refused != nil:
		return s.notWatchedAgain(ctx, call, refused)
	}
	return nil
}
