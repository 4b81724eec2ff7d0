package redispubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// maxWaiting is how many bytes of payload wait for the reader of a feed that
	// shares its connection. A feed whose reader is slower than that is over, as
	// it would be on a connection of its own, which the server would cut: the
	// others of its connection must not wait for it.
	maxWaiting = 16 << 20
	// entryCost is what an entry costs beside its payload, about.
	entryCost = 256
)

var errTooSlow = errors.New("the reader does not keep up with the channel")

// A sharedFeed is a subscription on a connection that it shares with others.
type sharedFeed struct {
	topic     string
	lane      *lane
	confirmed chan struct{} // closed when the server has confirmed
	more      chan struct{} // holds one token while there may be something to take

	mu      sync.Mutex
	waiting []domain.Entry // guarded by mu
	size    int            // of waiting; guarded by mu
	asked   time.Time      // when Read was last called; guarded by mu
	err     error          // why the feed is over; guarded by mu
	left    bool           // Close was called; guarded by mu
}

// A lane is a connection that several feeds share.
type lane = redisconn.Lane[*sharedFeed, *subscriber]

func newSharedFeed(topic string) *sharedFeed {
	return &sharedFeed{topic: topic, confirmed: make(chan struct{}), more: make(chan struct{}, 1), asked: time.Now()}
}

func (f *sharedFeed) Log() domain.LogID      { return 0 }
func (f *sharedFeed) Begin() domain.Position { return "" }

// Heard is when the connection last had a sign of life, or Read was called.
func (f *sharedFeed) Heard() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if heard := time.Unix(0, f.lane.State.heard.Load()); heard.After(f.asked) {
		return heard
	}
	return f.asked
}

// Close takes the feed off the connection. The command to unsubscribe is sent
// first, so that whoever subscribes to the same topic next on this connection
// does so behind it.
func (f *sharedFeed) Close() error {
	f.end(domain.ErrClosed)
	if f.leave() {
		f.lane.State.command("UNSUBSCRIBE", f)
		f.lane.Leave(f.topic, f)
	}
	return nil
}

// leave is true once.
func (f *sharedFeed) leave() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.left
	f.left = true
	return first
}

// Read waits until something has come and returns it.
func (f *sharedFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	f.ask()
	for {
		if batch, err := f.take(); batch != nil || err != nil {
			return batch, err
		}
		select {
		case <-f.more:
		case <-ctx.Done():
			_ = f.Close()
		}
	}
}

func (f *sharedFeed) ask() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = time.Now()
}

// take returns what waits, a batch at most, and the feed's end only behind it.
func (f *sharedFeed) take() ([]domain.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.waiting), transport.BatchSize)
	if n == 0 {
		return nil, f.err
	}
	batch := f.waiting[:n:n]
	for i := range batch {
		f.size -= entryCost + len(batch[i].Body)
	}
	if f.waiting = f.waiting[n:]; len(f.waiting) == 0 {
		f.waiting = nil
	} else {
		f.poke()
	}
	return batch, nil
}

// poke says that there may be something to take.
func (f *sharedFeed) poke() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// put adds what has come. It says whether the feed can take more.
func (f *sharedFeed) put(e domain.Entry) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return true
	}
	f.waiting = append(f.waiting, e)
	f.size += entryCost + len(e.Body)
	f.poke()
	return f.size <= maxWaiting
}

// end says why the feed is over; the first reason stays.
func (f *sharedFeed) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = fmt.Errorf("redispubsub: read %s: %w", f.topic, redisconn.Classify(err))
	}
	f.poke()
}

func (f *sharedFeed) fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// A subscriber is the shared connection's side of its feeds: it subscribes for
// them, and hands each what its channel carries.
type subscriber struct {
	conn  *redisconn.Conn
	reply time.Duration
	heard atomic.Int64 // when the connection last had a sign of life, in Unix nanoseconds
	text  []byte       // scratch of the goroutine that serves

	// writing is held while a command is sent, so that the commands are answered
	// in the order in which they stand in asked.
	writing sync.Mutex
	mu      sync.Mutex
	asked   []command // not answered yet; guarded by mu
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
	if s.conn.Flush() != nil {
		_ = s.conn.Close()
	}
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
		if err := s.await(); err != nil {
			return err
		}
		for first := true; first || s.conn.Buffered(); first = false {
			if err := s.next(lane); err != nil {
				return err
			}
		}
		s.heard.Store(time.Now().UnixNano())
	}
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
	return nil
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

// refuse ends a feed, and the wait for its confirmation. The goroutine that
// serves calls it, and confirm.
func (f *sharedFeed) refuse(why error) {
	f.end(why)
	f.confirm()
}

// confirm says that the server has answered to the subscription.
func (f *sharedFeed) confirm() {
	if !f.isConfirmed() {
		close(f.confirmed)
	}
}

func (f *sharedFeed) isConfirmed() bool {
	select {
	case <-f.confirmed:
		return true
	default:
		return false
	}
}

// followShared subscribes on a shared connection and returns when the server has
// confirmed.
func (d *Driver) followShared(ctx context.Context, topic string) (_ transport.Feed, err error) {
	f := newSharedFeed(topic)
	if f.lane, err = d.lanes.Join(ctx, topic, f); err != nil {
		return nil, err
	}
	f.lane.State.command("SUBSCRIBE", f)
	if err := f.await(ctx); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (f *sharedFeed) await(ctx context.Context) error {
	select {
	case <-f.confirmed:
		return f.fault()
	case <-ctx.Done():
		return ctx.Err()
	}
}
