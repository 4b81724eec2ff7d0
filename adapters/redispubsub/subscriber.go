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
	conn  *redisconn.Conn
	reply time.Duration
	heard atomic.Int64  // when the connection last had a sign of life, in Unix nanoseconds
	text  []byte        // scratch of the goroutine that serves
	feeds []*sharedFeed // the same

	waiting atomic.Int64 // bytes that wait for the feeds' readers

	// writing is held while a command is sent, so that the commands are answered
	// in the order in which they stand in asked.
	writing sync.Mutex
	mu      sync.Mutex
	asked   []command // not answered yet; guarded by mu
	fault   error     // why a command could not be sent, the first one; guarded by mu
}

// A command is one whose answer is due: SUBSCRIBE or UNSUBSCRIBE for a feed, or
// PING.
type command struct {
	name string
	feed *sharedFeed
}

// command sends a command; its answer comes to serve. If it cannot be sent the
// connection ends, and all feeds with it.
func (s *subscriber) command(name string, f *sharedFeed) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	s.asked = append(s.asked, command{name, f})
	s.mu.Unlock()
	if f == nil {
		s.conn.Queue(name)
	} else {
		s.conn.Queue(name, f.topic)
	}
	if err := s.conn.Flush(); err != nil {
		s.mu.Lock()
		if s.fault == nil {
			s.fault = err
		}
		s.mu.Unlock()
		_ = s.conn.Close()
	}
}

// why is why the connection ended, if reading ended with err: that a command could
// not be sent comes before that the connection was closed for it.
func (s *subscriber) why(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil && errors.Is(err, domain.ErrClosed) {
		return s.fault
	}
	return err
}

// answered is the command that is answered next, which is then done.
func (s *subscriber) answered() (c command, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return command{}, false
	}
	c = s.asked[0]
	s.asked = s.asked[1:]
	return c, true
}

// serve reads what the server pushes, until the connection ends.
func (s *subscriber) serve(lane *lane) error {
	for {
		if err := s.read(lane); err != nil {
			return s.why(err)
		}
		s.heard.Store(time.Now().UnixNano())
	}
}

// read waits until something arrives, and takes along what has come with it.
func (s *subscriber) read(lane *lane) error {
	if err := s.await(); err != nil {
		return err
	}
	for first := true; first || s.conn.Buffered(); first = false {
		if err := s.next(lane); err != nil {
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
	s.command("PING", nil)
	came, err := s.conn.Wait(s.reply)
	if err == nil && !came {
		err = fmt.Errorf("no answer to a ping within %v", s.reply)
	}
	return err
}

// next reads one push: a message, or the answer to a command.
func (s *subscriber) next(lane *lane) error {
	n, err := s.conn.Array()
	if refusal := redisconn.Error(""); errors.As(err, &refusal) {
		return s.refused(err)
	}
	if err != nil {
		return err
	}
	if s.text, err = s.conn.Bulk(s.text[:0]); err != nil {
		return err
	}
	switch kind := string(s.text); {
	case kind == "message" && n == 3:
		return s.message(lane)
	case kind == "pong" && n == 2, kind == "unsubscribe" && n == 3:
		s.answered()
		return s.skip(n - 1)
	case kind == "subscribe" && n == 3:
		if c, _ := s.answered(); c.feed != nil {
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

// message hands the channel's feed what came, once its subscription is
// confirmed: what comes before that is for an earlier feed of the topic. A feed
// that does not keep up is over.
func (s *subscriber) message(lane *lane) (err error) {
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
	if s.waiting.Load() > maxLaneWaiting {
		s.relieve(lane)
	}
	return nil
}

// relieve ends the feed for which most waits, and forgets that.
func (s *subscriber) relieve(lane *lane) {
	var slowest *sharedFeed
	most := 0
	s.feeds = lane.Feeds(s.feeds[:0])
	for _, f := range s.feeds {
		if n := f.held(); n > most {
			slowest, most = f, n
		}
	}
	clear(s.feeds)
	if slowest != nil {
		slowest.end(errTooSlow)
		slowest.forget()
	}
}

// refused ends the feed whose subscription the server refuses. What else it
// refuses ends the connection.
func (s *subscriber) refused(why error) error {
	c, ok := s.answered()
	if !ok || c.feed == nil {
		return why
	}
	if c.name == "SUBSCRIBE" {
		c.feed.refuse(why)
	}
	return nil
}
