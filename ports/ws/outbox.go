package ws

import (
	"sync"

	"github.com/olahol/melody"

	"github.com/fanfarebus/fanfare/domain/stream"
)

// An outbox is what a session has been offered and has not been sent. It is
// safe for concurrent use and never blocks.
//
// It has at most one write in flight: what melody's write pump works on. The
// pump reports each write that ended (sent), and only then the next one
// starts, with everything that gathered.
//
// A session can not be left waiting, because of two rules that hold whenever
// the lock is free:
//
//  1. Frames wait only while a write is in flight.
//  2. A refusal is noted (behind) in the critical section that refused, and
//     refusals happen only while a write is in flight.
//
// So after each refusal there is a call of sent that sees the note: if the
// outbox is still more than half full then, frames wait (1) and another sent
// follows; else sent says that it is time to fill. Any single frame fits an
// empty outbox, whatever its size.
type outbox struct {
	bytes  int // most bytes, waiting and in flight
	frames int // most frames that wait
	plain  bool
	conn   *conn

	mu      sync.Mutex
	writer  *melody.Session
	queue   *[]stream.Frame // nil when nothing waits
	waiting int             // bytes in queue
	flying  int             // bytes in flight
	count   int             // frames in flight
	busy    bool            // a write is in flight
	behind  bool            // an offer was refused since the last fill
	offers  uint64          // so far
	batch   *[]byte         // in flight and ours
	closing bool            // nothing more is taken
	last    []byte          // the close message that follows the queue
}

const (
	// batchBytes bounds what is joined into one write.
	batchBytes = 64 << 10
	// replyBytes and replyFrames are kept for answers and notices when messages
	// fill the rest.
	replyBytes, replyFrames = 16 << 10, 128
)

// offer takes a message frame, or refuses it because there is no room.
func (o *outbox) offer(f stream.Frame) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.offers++
	return o.take(f, o.bytes, o.frames)
}

// reply takes an answer or a notice, for which there is more room.
func (o *outbox) reply(f []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.take(stream.Frame{Bytes: f}, o.bytes+replyBytes, o.frames+replyFrames)
}

// replyIfQuiet is reply, if nothing was offered since offered returned since.
func (o *outbox) replyIfQuiet(f []byte, since uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offers == since && o.take(stream.Frame{Bytes: f}, o.bytes, o.frames)
}

// offered returns how often something was offered.
func (o *outbox) offered() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offers
}

func (o *outbox) take(f stream.Frame, mostBytes, mostFrames int) bool {
	if f.Bytes == nil {
		return true
	}
	switch {
	case o.closing:
		return false
	case !o.busy:
		o.busy = true
		o.send(f)
	case o.waiting+o.flying+len(f.Bytes) > mostBytes || o.queue != nil && len(*o.queue) >= mostFrames:
		o.behind = true
		return false
	default:
		o.enqueue(f)
	}
	return true
}

func (o *outbox) enqueue(f stream.Frame) {
	if o.queue == nil {
		o.queue = takeQueue()
	}
	*o.queue = append(*o.queue, f)
	o.waiting += len(f.Bytes)
}

// sent notes that the write in flight ended well, and what it carried, starts
// the next one, and says whether it is time to fill. It runs in the write pump.
func (o *outbox) sent() (frames, bytes int, fill bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.batch != nil {
		buffers.put(o.batch)
		o.batch = nil
	}
	frames, bytes = o.count, o.flying
	o.count, o.flying = 0, 0
	switch {
	case o.queue != nil:
		o.sendNext()
	case o.closing:
		o.sendClose()
	default:
		o.busy = false
	}
	if !o.behind || o.closing || o.waiting+o.flying > o.bytes/2 || o.queue != nil && len(*o.queue) > o.frames/2 {
		return frames, bytes, false
	}
	o.behind = false
	return frames, bytes, true
}

// close takes nothing more, and lets the close message follow what is there.
func (o *outbox) close(message []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing {
		return
	}
	o.closing, o.last = true, message
	if !o.busy {
		o.sendClose()
	}
}

func (o *outbox) sendClose() {
	o.busy = true
	_ = o.writer.CloseWithMsg(o.last) // an error means that it is closed
}

// send hands one frame to the write pump. Its queue has room for more than the
// one frame and the close message that we ever put there.
func (o *outbox) send(f stream.Frame) {
	o.flying += len(f.Bytes)
	o.count++
	if f.Binary && o.plain {
		_ = o.writer.WriteBinary(f.Bytes) // an error means that it is closed
		return
	}
	_ = o.writer.Write(f.Bytes)
}

// sendNext sends as many of the frames that wait as make one batch.
func (o *outbox) sendNext() {
	queue := *o.queue
	n, size := 1, len(queue[0].Bytes)
	for n < len(queue) && size+1+len(queue[n].Bytes) <= batchBytes {
		size += 1 + len(queue[n].Bytes)
		n++
	}
	switch {
	case n == 1:
		o.send(queue[0])
	case o.plain:
		o.sendFrames(queue[:n])
	default:
		o.sendLines(queue[:n])
	}
	for _, f := range queue[:n] {
		o.waiting -= len(f.Bytes)
	}
	left := copy(queue, queue[n:])
	clear(queue[left:])
	*o.queue = queue[:left]
	if left == 0 {
		putQueue(o.queue)
		o.queue = nil
	}
}

// sendLines joins frames into one, a line each.
func (o *outbox) sendLines(frames []stream.Frame) {
	o.batch = buffers.take()
	lines := *o.batch
	for i, f := range frames {
		if i > 0 {
			lines = append(lines, '\n')
		}
		lines = append(lines, f.Bytes...)
	}
	*o.batch = lines
	o.count = len(frames) - 1
	o.send(stream.Frame{Bytes: lines})
}

// sendFrames sends frames as they are, in one write: all but the last are put
// ahead of the connection's next write, which is the last one's.
func (o *outbox) sendFrames(frames []stream.Frame) {
	ahead, last := buffers.take(), len(frames)-1
	for _, f := range frames[:last] {
		*ahead = append(appendHeader(*ahead, f.Binary, len(f.Bytes)), f.Bytes...)
		o.flying += len(f.Bytes)
	}
	o.count += last
	o.conn.putAhead(ahead)
	o.send(frames[last])
}

// queues holds queues for sessions that have something waiting, so that idle
// ones have none.
var queues = sync.Pool{New: func() any {
	q := make([]stream.Frame, 0, 32)
	return &q
}}

func takeQueue() *[]stream.Frame { return queues.Get().(*[]stream.Frame) }

func putQueue(q *[]stream.Frame) {
	if cap(*q) <= 1024 {
		queues.Put(q)
	}
}
