package sse

import (
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

// An outbox is what a session has been offered and has not been written. It is
// safe for concurrent use and never blocks. The session's goroutine takes all
// that is there, writes it, and says so (sent); until then it counts as flying.
//
// A session can not be left waiting, because of two rules that hold whenever
// the lock is free:
//
//  1. If anything waits, wake holds a token or the session's goroutine is about
//     to take.
//  2. A refusal is noted (behind) in the critical section that refused, and
//     refusals happen only while something waits or flies.
//
// So after each refusal there is a call of sent that sees the note, and says
// that it is time to fill. Any single frame fits an empty outbox, whatever its
// size.
type outbox struct {
	bytes  int           // most bytes, waiting and flying
	frames int           // most frames that wait
	wake   chan struct{} // holds one token while there may be something to take

	mu      sync.Mutex
	queue   *[]item // nil when nothing waits
	waiting int     // bytes in queue
	flying  int     // bytes being written
	busy    bool    // something flies
	behind  bool    // an offer was refused since the last fill
	offers  uint64  // so far
	last    *farewell
}

// An item is one event, or, if it is nothing but a place, the id of one.
type item struct {
	of    *session.Attachment // whose place comes with it; nil for a notice
	op    []byte              // shared: not to be changed
	place []byte              // the token of a cursor, without an op
}

// A farewell is what a session is told last.
type farewell struct {
	op    []byte
	code  int
	retry time.Duration // 0: what was said before holds
	stop  bool          // the client is not to come back by itself
}

// replyBytes and replyFrames are kept for notices when messages fill the rest.
const replyBytes, replyFrames = 16 << 10, 128

// offer takes a message or gap of an attachment, or refuses it because there
// is no room.
func (o *outbox) offer(of *session.Attachment, op []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.offers++
	return o.take(item{of: of, op: op}, o.bytes, o.frames)
}

// reply takes a notice, for which there is more room.
func (o *outbox) reply(op []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.take(item{op: op}, o.bytes+replyBytes, o.frames+replyFrames)
}

// move takes a place, told or not, if nothing was offered since offered
// returned since.
func (o *outbox) move(i item, since uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offers == since && o.take(i, o.bytes, o.frames)
}

// offered returns how often something was offered.
func (o *outbox) offered() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offers
}

func (o *outbox) take(i item, mostBytes, mostFrames int) bool {
	size := len(i.op) + len(i.place)
	switch {
	case o.last != nil:
		return false
	case o.queue == nil && !o.busy: // it fits
	case o.waiting+o.flying+size > mostBytes || o.queue != nil && len(*o.queue) >= mostFrames:
		o.behind = true
		return false
	}
	if o.queue == nil {
		o.queue = takeQueue()
	}
	*o.queue = append(*o.queue, i)
	o.waiting += size
	o.poke()
	return true
}

// close takes nothing more, and lets the farewell follow what is there. The
// first call counts.
func (o *outbox) close(f farewell) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last != nil {
		return false
	}
	o.last = &f
	o.poke()
	return true
}

func (o *outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// next returns all that waits, nil for nothing, and the farewell if it is time
// for it. What it returns flies until sent is called.
func (o *outbox) next() (*[]item, *farewell) {
	o.mu.Lock()
	defer o.mu.Unlock()
	queue := o.queue
	o.queue, o.flying, o.waiting = nil, o.waiting, 0
	o.busy = queue != nil
	return queue, o.last
}

// sent notes that what flew was written, and says whether it is time to fill.
func (o *outbox) sent() (fill bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy, o.flying = false, 0
	fill, o.behind = o.behind && o.last == nil, false
	return fill
}

// farewell returns what the session was told last, nil if it was not closed.
func (o *outbox) farewell() *farewell {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// queues holds queues for sessions that have something waiting, so that idle
// ones have none.
var queues = sync.Pool{New: func() any {
	q := make([]item, 0, 32)
	return &q
}}

func takeQueue() *[]item { return queues.Get().(*[]item) }

func putQueue(q *[]item) {
	if cap(*q) <= 1024 {
		clear(*q)
		*q = (*q)[:0]
		queues.Put(q)
	}
}
