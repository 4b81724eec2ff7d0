package ws

import (
	"sync"

	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A shard is a part of the server's sessions. Those that have something to send are on
// its list, each once.
type shard struct {
	mu     sync.Mutex
	due    *sync.Cond // the list is not empty, or ended is set; its flusher alone waits
	list   []*client  // guarded by mu, like all below
	asleep bool       // the flusher waits
	ended  bool
}

func newShard() *shard {
	s := &shard{}
	s.due = sync.NewCond(&s.mu)
	return s
}

// add puts a session on the list. It is called for each time that its outbox becomes
// scheduled.
func (s *shard) add(c *client) {
	s.mu.Lock()
	s.list = append(s.list, c)
	wake := s.asleep
	s.asleep = false
	s.mu.Unlock()
	if wake {
		s.due.Signal()
	}
}

// end lets the flusher end. Nothing may be added any more.
func (s *shard) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.due.Signal()
}

// take waits until the list is not empty, and swaps it for an empty one. It returns an
// empty list after end.
func (s *shard) take(empty []*client) []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.list) == 0 && !s.ended {
		s.asleep = true
		s.due.Wait()
	}
	list := s.list
	s.list = empty
	return list
}

// A flusher writes what the sessions of its shard have to send. It takes the whole list
// at once, and visits one session after the other: so the busier the node, the longer
// the list, and the more gathers for a session until it is visited. It never waits for
// a socket.
type flusher struct {
	shard *shard
	out   *nowWriter
	batch batch // reused, so that sessions need no buffers
	tally tally // of the list
	total *counters

	delay   *metric.Histogram // its own, so that flushers do not wait for each other
	delays  session.Delays    // of what was written since delay was told
	unknown int               // writes since then
}

// delaysAtOnce is how many writes are counted as written at the same time. Often they
// carry the same message, and then they cost one look at the clock and one observation.
// The first of them is counted some 50 µs late for that.
const delaysAtOnce = 8

// run flushes until the shard has ended.
func (f *flusher) run() {
	for list := f.shard.take(nil); len(list) > 0; list = f.shard.take(list[:0]) {
		for i, c := range list {
			list[i] = nil
			f.visit(c)
		}
		f.total.sent(f.tally)
		f.tally = tally{}
		f.observeDelays()
	}
}

func (f *flusher) observeDelays() {
	f.delays.Observe(f.delay)
	f.unknown = 0
}

// visit writes one batch of a session's. A session with more to write goes to the end
// of the list, so that none keeps the others waiting.
func (f *flusher) visit(c *client) {
	if !c.out.next(&f.batch) {
		return
	}
	n, err := f.out.writeNow(c.socket, f.batch.buf)
	switch {
	case err != nil:
		c.writeFailed(err)
	case n < len(f.batch.buf) || f.batch.large != nil:
		go c.writeOut(f.batch.rest(n)) // client.end waits for it
		f.batch.large = nil
	default:
		f.tally.add(f.batch.tally)
		f.delays.Join(&f.batch.delay)
		if f.unknown++; f.unknown >= delaysAtOnce {
			f.observeDelays()
		}
		if c.wrote(&f.batch) {
			f.shard.add(c)
		}
	}
}
