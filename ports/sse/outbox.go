package sse

import (
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/ports/session"
)

// An outbox holds the items that a session was offered and that are not written yet.
// It is safe for concurrent use and never blocks. The session's goroutine takes all
// that waits (next), writes it, and reports that (sent); until then it is in flight.
//
// An item is refused if there is no room. The session then falls back to catching up:
// the outbox must tell it when there is room to fill. It cannot forget that, because
// two rules hold whenever the lock is free:
//
//  1. If anything waits, wake holds a value, or the session's goroutine is about to
//     call next.
//  2. A refusal sets behind under the same lock, and items are refused only while
//     something waits or is in flight.
//
// So each refusal is followed by a call of sent that sees behind, and reports that it
// is time to fill. Any single item fits into an empty outbox, whatever its size.
type outbox struct {
	maxBytes int           // waiting and in flight
	maxItems int           // waiting
	wake     chan struct{} // holds one value while there may be something to take

	mu            sync.Mutex // guards all below
	queue         *[]item    // items that wait; nil if there are none
	waitingBytes  int        // in queue
	inFlightBytes int
	inFlight      *[]item   // what next has returned; nil once it is sent
	busy          bool      // something is in flight
	behind        bool      // an item was refused since sent last reported time to fill
	offers        uint64    // calls of offer so far
	last          *farewell // what follows the queue; nil until close
}

// An item is one event. If it has a cursor and no op, it is an id without data.
type item struct {
	of     *session.Attachment // the system whose cursor it moves; nil for a notice
	op     []byte              // shared by sessions: not to be changed
	cursor []byte              // as text
	retry  time.Duration       // 0 to leave what was written before

	message bool         // a message, and not a notice
	read    metric.Stamp // as in [stream.Frame]
	note    *stream.Note // of a message that wants a receipt; nil for any other
}

// A farewell is the last event of a session.
type farewell struct {
	op    []byte
	code  int           // the session's close code
	retry time.Duration // 0 to leave what was written before
	stop  bool          // the client is not to come back by itself
}

// replyBytes and replyFrames are kept for notices when messages fill the rest.
const replyBytes, replyFrames = 16 << 10, 128

// offer takes a message or a gap of an attachment, with its note if it has one. It returns
// false if there is no room.
func (o *outbox) offer(of *session.Attachment, f stream.Frame, n *stream.Note) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.offers++
	i := item{of: of, op: f.Bytes, message: f.Message, read: f.Read, note: n}
	return o.take(i, o.maxBytes, o.maxItems)
}

// reply takes a notice, for which there is more room.
func (o *outbox) reply(op []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.take(item{op: op}, o.maxBytes+replyBytes, o.maxItems+replyFrames)
}

// ask takes a notice with which the client is told anew when to come back.
func (o *outbox) ask(op []byte, retry time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.take(item{op: op, retry: retry}, o.maxBytes+replyBytes, o.maxItems+replyFrames)
}

// replyIfRoom takes a notice that has no more room than a message.
func (o *outbox) replyIfRoom(op []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.take(item{op: op}, o.maxBytes, o.maxItems)
}

// takeIfQuiet takes an item, unless something was offered since offered returned
// offers. It has no more room than a message.
func (o *outbox) takeIfQuiet(i item, offers uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offers == offers && o.take(i, o.maxBytes, o.maxItems)
}

// offered returns how often offer was called.
func (o *outbox) offered() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offers
}

// pending returns how many items wait, and how many bytes of those and of what is in flight.
func (o *outbox) pending() (frames, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queued(), o.waitingBytes + o.inFlightBytes
}

// take lets an item wait. The caller holds mu.
func (o *outbox) take(i item, maxBytes, maxItems int) bool {
	size := len(i.op) + len(i.cursor)
	switch {
	case o.last != nil:
		return false
	case o.queue == nil && !o.busy: // anything fits into an empty outbox
	case o.waitingBytes+o.inFlightBytes+size > maxBytes || o.queued() >= maxItems:
		o.behind = true
		return false
	}
	if o.queue == nil {
		o.queue = takeQueue()
	}
	*o.queue = append(*o.queue, i)
	o.waitingBytes += size
	o.wakeUp()
	return true
}

// queued returns how many items wait.
func (o *outbox) queued() int {
	if o.queue == nil {
		return 0
	}
	return len(*o.queue)
}

// close lets the farewell follow what is there. Nothing more is taken. Only the first
// call counts, and returns true.
func (o *outbox) close(f farewell) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last != nil {
		return false
	}
	o.last = &f
	o.wakeUp()
	return true
}

func (o *outbox) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// unwritten calls each with the messages that were taken and are not sent, oldest first, until
// it returns false.
func (o *outbox) unwritten(each func(op []byte) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, queue := range [...]*[]item{o.inFlight, o.queue} {
		if queue == nil {
			continue
		}
		for i := range *queue {
			if it := &(*queue)[i]; it.message && !each(it.op) {
				return
			}
		}
	}
}

// next returns all that waits, nil if there is nothing, and the farewell if the outbox
// was closed. What it returns is in flight until sent is called.
func (o *outbox) next() (*[]item, *farewell) {
	o.mu.Lock()
	defer o.mu.Unlock()
	queue := o.queue
	o.queue, o.inFlightBytes, o.waitingBytes = nil, o.waitingBytes, 0
	o.busy, o.inFlight = queue != nil, queue
	return queue, o.last
}

// sent notes that what was in flight is written, and reports whether it is time to fill.
func (o *outbox) sent() (fill bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.inFlight != nil {
		putQueue(o.inFlight)
	}
	o.busy, o.inFlightBytes, o.inFlight = false, 0, nil
	fill, o.behind = o.behind && o.last == nil, false
	return fill
}

// farewell returns the farewell, nil if the outbox was not closed.
func (o *outbox) farewell() *farewell {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// queues holds queues for sessions for which something waits, so that idle sessions
// have none.
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
