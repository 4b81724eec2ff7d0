package redispubsub

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

// A subscriber is the shared connection's side of its feeds: it subscribes for
// them, and hands each what its channel carries.
type subscriber struct {
	conn         *redisconn.Conn
	replyTimeout time.Duration
	heard        atomic.Int64  // when the connection last had a sign of life, in Unix nanoseconds
	text         []byte        // scratch of the goroutine that serves
	feeds        []*sharedFeed // the same

	waiting atomic.Int64 // bytes that wait for the feeds' readers

	// sending is held while a command is sent, so that the commands are answered
	// in the order in which they stand in asked.
	sending sync.Mutex
	mu      sync.Mutex
	pending []command // not answered yet; guarded by mu
	sendErr error     // why a command could not be sent, the first one; guarded by mu
}

// A command is one whose answer is due: SUBSCRIBE or UNSUBSCRIBE for a feed, or
// PING.
type command struct {
	name string
	feed *sharedFeed
}

// send sends a send; its answer comes to serve. If it cannot be sent the
// connection ends, and all feeds with it.
func (s *subscriber) send(name string, f *sharedFeed) {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	s.pending = append(s.pending, command{name, f})
	s.mu.Unlock()
	if f == nil {
		s.conn.Queue(name)
	} else {
		s.conn.Queue(name, f.topic)
	}
	if err := s.conn.Flush(); err != nil {
		s.mu.Lock()
		if s.sendErr == nil {
			s.sendErr = err
		}
		s.mu.Unlock()
		_ = s.conn.Close()
	}
}

// cause is cause the connection ended, if reading ended with err: that a command could
// not be sent comes before that the connection was closed for it.
func (s *subscriber) cause(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sendErr != nil && errors.Is(err, domain.ErrClosed) {
		return s.sendErr
	}
	return err
}

// popPending is the command that is popPending next, which is then done.
func (s *subscriber) popPending() (c command, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return command{}, false
	}
	c = s.pending[0]
	s.pending = s.pending[1:]
	return c, true
}

// serve reads what the server pushes, until the connection ends.
func (s *subscriber) serve(lane *sharedConn) error {
	for {
		if err := s.readAvailable(lane); err != nil {
			return s.cause(err)
		}
		s.heard.Store(time.Now().UnixNano())
	}
}

// readAvailable waits until something arrives, and takes along what has come with it.
func (s *subscriber) readAvailable(lane *sharedConn) error {
	if err := s.await(); err != nil {
		return err
	}
	for first := true; first || s.conn.Buffered(); first = false {
		if err := s.readPush(lane); err != nil {
			return err
		}
	}
	return nil
}

// await returns when something arrives, the answer to a ping included.
func (s *subscriber) await() error {
	if came, err := s.conn.Wait(pingAfter); came || err != nil {
		return err
	}
	s.send("PING", nil)
	came, err := s.conn.Wait(s.replyTimeout)
	if err == nil && !came {
		err = fmt.Errorf("no answer to a ping within %v", s.replyTimeout)
	}
	return err
}

// readPush reads one push: a message, or the answer to a command.
func (s *subscriber) readPush(lane *sharedConn) error {
	n, err := s.conn.Array()
	if refusal := redisconn.Error(""); errors.As(err, &refusal) {
		return s.handleError(err)
	}
	if err != nil {
		return err
	}
	if s.text, err = s.conn.Bulk(s.text[:0]); err != nil {
		return err
	}
	switch kind := string(s.text); {
	case kind == "message" && n == 3:
		return s.readMessage(lane)
	case kind == "pong" && n == 2, kind == "unsubscribe" && n == 3:
		s.popPending()
		return s.skip(n - 1)
	case kind == "subscribe" && n == 3:
		if c, _ := s.popPending(); c.feed != nil {
			c.feed.confirm()
		}
		return s.skip(n - 1)
	}
	return errors.New("redis no longer treats this connection as a subscriber")
}

func (s *subscriber) skip(n int) error {
	for range n {
		if err := s.conn.Skip(); err != nil {
			return err
		}
	}
	return nil
}

// readMessage hands the channel's feed what came, once its subscription is
// confirmed: what comes before that is for an earlier feed of the topic. A feed
// that does not keep up is over.
func (s *subscriber) readMessage(lane *sharedConn) (err error) {
	if s.text, err = s.conn.Bulk(s.text[:0]); err != nil {
		return err
	}
	payload, err := s.conn.Bulk(nil)
	if err != nil {
		return err
	}
	if f, here := lane.Feed(string(s.text)); here && f.isConfirmed() && !f.put(decode(payload)) {
		f.end(errTooSlow)
	}
	if s.waiting.Load() > maxConnWaiting {
		s.endSlowest(lane)
	}
	return nil
}

// endSlowest ends the feed for which most waits, and forgets that.
func (s *subscriber) endSlowest(lane *sharedConn) {
	var slowest *sharedFeed
	most := 0
	s.feeds = lane.Feeds(s.feeds[:0])
	for _, f := range s.feeds {
		if n := f.waitingBytes(); n > most {
			slowest, most = f, n
		}
	}
	clear(s.feeds)
	if slowest != nil {
		slowest.end(errTooSlow)
		slowest.discard()
	}
}

// handleError ends the feed whose subscription the server refuses. What else it
// refuses ends the connection.
func (s *subscriber) handleError(why error) error {
	c, ok := s.popPending()
	if !ok || c.feed == nil {
		return why
	}
	if c.name == "SUBSCRIBE" {
		c.feed.refuse(why)
	}
	return nil
}
