package redispubsub

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

// A sharedConn is a connection that several feeds share.
type sharedConn = redisconn.SharedConn[*sharedFeed, *subscriber]

// A subscriber subscribes for all feeds on one shared connection, and puts the
// messages of each channel into its feed's queue. One goroutine, the connection's,
// reads; any goroutine may send commands.
type subscriber struct {
	conn         *redisconn.Conn
	masters      *redisconn.Masters
	replyTimeout time.Duration
	heard        atomic.Int64  // when anything last arrived, in Unix nanoseconds
	waiting      atomic.Int64  // how many bytes wait in the queues of all feeds
	text         []byte        // scratch of the connection's goroutine
	feeds        []*sharedFeed // scratch of the connection's goroutine

	// sending is held while a command is sent, so that the order of pending is the
	// order in which the server receives the commands.
	sending sync.Mutex
	mu      sync.Mutex
	pending []command // commands whose replies have not been read yet; guarded by mu
	sendErr error     // why a command could not be sent: the first error; guarded by mu
}

// A command is SUBSCRIBE or UNSUBSCRIBE for a feed, or PING.
type command struct {
	name string
	feed *sharedFeed // nil for PING
}

// newSharedConns returns the shared connections of a driver.
func newSharedConns(
	server *redisconn.Server, masters *redisconn.Masters,
) *redisconn.SharedConns[*sharedFeed, *subscriber] {
	return redisconn.NewSharedConns(redisconn.SharedConfig[*sharedFeed, *subscriber]{
		Dial: masters.Dial,
		State: func(conn *redisconn.Conn) *subscriber {
			return &subscriber{conn: conn, masters: masters, replyTimeout: server.ReplyTimeout()}
		},
		Serve: func(shared *sharedConn) error { return shared.State.serve(shared) },
		End:   (*sharedFeed).refuse,
	})
}

// send sends a command. The connection's goroutine reads the reply. If the command
// cannot be sent, the connection ends, and all feeds on it.
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

// popPending returns the oldest command without a reply, to which the next reply
// belongs, and removes it.
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

// serve reads what the server sends until the connection ends, and returns why.
func (s *subscriber) serve(shared *sharedConn) error {
	for {
		if err := s.readAvailable(shared); err != nil {
			return s.conn.Explain("", s.cause(err))
		}
		s.heard.Store(time.Now().UnixNano())
	}
}

// cause returns why the connection ended, given the error of reading. If a command
// could not be sent, that is the cause: send has closed the connection then, and
// reading failed because of it.
func (s *subscriber) cause(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sendErr != nil && errors.Is(err, domain.ErrClosed) {
		return s.sendErr
	}
	return err
}

// readAvailable waits until something arrives, and reads it together with what has
// arrived behind it.
func (s *subscriber) readAvailable(shared *sharedConn) error {
	if err := s.await(); err != nil {
		return err
	}
	for first := true; first || s.conn.Buffered(); first = false {
		if err := s.readPush(shared); err != nil {
			return err
		}
	}
	return nil
}

// await waits until anything arrives. After pingAfter it sends a PING, whose reply
// counts as well. A server that has left its cluster replies, but hears nothing.
func (s *subscriber) await() error {
	if arrived, err := s.conn.Wait(pingAfter); arrived || err != nil {
		return err
	}
	if err := s.masters.CheckMember(s.conn); err != nil {
		return err
	}
	s.send("PING", nil)
	return awaitPong(s.conn, s.replyTimeout)
}

// readPush reads one push of the server: a message, or the reply to a command.
func (s *subscriber) readPush(shared *sharedConn) error {
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
		return s.readMessage(shared)
	case kind == "pong" && n == 2, kind == "unsubscribe" && n == 3:
		s.popPending()
		return s.skip(n - 1)
	case kind == "subscribe" && n == 3:
		if c, _ := s.popPending(); c.feed != nil {
			c.feed.confirm()
		}
		return s.skip(n - 1)
	}
	return errNotSubscribed
}

// skip reads n replies and drops them.
func (s *subscriber) skip(n int) error {
	for range n {
		if err := s.conn.Skip(); err != nil {
			return err
		}
	}
	return nil
}

// readMessage reads the channel and the payload of a message, and puts it into the
// queue of the channel's feed. A message that arrives before the feed's subscription
// is confirmed was meant for an earlier feed of the same topic, and is dropped.
func (s *subscriber) readMessage(shared *sharedConn) (err error) {
	if s.text, err = s.conn.Bulk(s.text[:0]); err != nil {
		return err
	}
	payload, err := s.conn.Bulk(nil)
	if err != nil {
		return err
	}
	if f, ok := shared.Feed(string(s.text)); ok && f.isConfirmed() && !f.put(decode(payload)) {
		f.end(errTooSlow)
	}
	if s.waiting.Load() > maxConnWaiting {
		s.endSlowest(shared)
	}
	return nil
}

// endSlowest ends the feed with the longest queue, and empties that.
func (s *subscriber) endSlowest(shared *sharedConn) {
	var slowest *sharedFeed
	longest := 0
	s.feeds = shared.Feeds(s.feeds[:0])
	for _, f := range s.feeds {
		if n := f.waitingBytes(); n > longest {
			slowest, longest = f, n
		}
	}
	clear(s.feeds)
	if slowest != nil {
		slowest.end(errTooSlow)
		slowest.discard()
	}
}

// handleError handles an error reply. A SUBSCRIBE that is refused ends its feed, and
// an UNSUBSCRIBE that is refused does not matter, since its feed is closed. Any other
// error reply ends the connection.
func (s *subscriber) handleError(reply error) error {
	c, ok := s.popPending()
	if !ok || c.feed == nil {
		return reply
	}
	if c.name == "SUBSCRIBE" {
		c.feed.refuse(s.conn.Explain(c.feed.topic, reply))
	}
	return nil
}
