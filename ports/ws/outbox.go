package ws

import (
	"encoding/binary"
	"sync"

	"github.com/olahol/melody"

	"github.com/fanfarebus/fanfare/domain/stream"
)

// An outbox holds the frames that a session was offered and that are not sent yet. It
// is safe for concurrent use and never blocks.
//
// At most one write is in flight: the one that melody's write pump works on. The pump
// reports when it has ended (sent), and only then the next one starts, with
// everything that has gathered.
//
// A frame is refused if there is no room. The session then falls back to catching up:
// the outbox must tell it when there is room to fill. It cannot forget that, because
// two rules hold whenever the lock is free:
//
//  1. Frames wait only while a write is in flight.
//  2. A refusal sets behind under the same lock, and frames are refused only while a
//     write is in flight.
//
// So each refusal is followed by a call of sent that sees behind. If the outbox is
// still more than half full then, frames wait (rule 1), and another call of sent
// follows. Otherwise sent reports that it is time to fill. Any single frame fits into
// an empty outbox, whatever its size.
type outbox struct {
	maxBytes  int // waiting and in flight
	maxFrames int // waiting
	plain     bool
	conn      *conn

	mu             sync.Mutex // guards all below, except that writer is set before any call
	writer         *melody.Session
	queue          *[]stream.Frame // frames that wait; nil if there are none
	waitingBytes   int             // in queue
	inFlightBytes  int
	inFlightFrames int
	busy           bool    // a write is in flight
	behind         bool    // a frame was refused since sent last reported time to fill
	offers         uint64  // calls of offer so far
	batch          *[]byte // the buffer in flight, if it has to go back to buffers
	closing        bool    // nothing more is taken
	last           []byte  // the close message, which follows the queue
}

const (
	// batchBytes bounds what is joined into one write.
	batchBytes = 64 << 10
	// replyBytes and replyFrames are kept for answers and notices when messages
	// fill the rest.
	replyBytes, replyFrames = 16 << 10, 128
)

// offer takes a message or a gap. It returns false if there is no room.
func (o *outbox) offer(f stream.Frame) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.offers++
	return o.take(f, o.maxBytes, o.maxFrames)
}

// reply takes an answer or a notice, for which there is more room.
func (o *outbox) reply(f []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.take(stream.Frame{Bytes: f}, o.maxBytes+replyBytes, o.maxFrames+replyFrames)
}

// replyIfQuiet takes a notice, unless something was offered since offered returned
// offers. It has no more room than a message.
func (o *outbox) replyIfQuiet(f []byte, offers uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offers == offers && o.take(stream.Frame{Bytes: f}, o.maxBytes, o.maxFrames)
}

// offered returns how often offer was called.
func (o *outbox) offered() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offers
}

// take sends a frame, or lets it wait while a write is in flight. The caller holds mu.
func (o *outbox) take(f stream.Frame, maxBytes, maxFrames int) bool {
	if f.Bytes == nil {
		return true
	}
	switch {
	case o.closing:
		return false
	case !o.busy:
		o.busy = true
		o.send(f)
	case o.waitingBytes+o.inFlightBytes+len(f.Bytes) > maxBytes || o.queued() >= maxFrames:
		o.behind = true
		return false
	default:
		o.enqueue(f)
	}
	return true
}

// queued returns how many frames wait.
func (o *outbox) queued() int {
	if o.queue == nil {
		return 0
	}
	return len(*o.queue)
}

func (o *outbox) enqueue(f stream.Frame) {
	if o.queue == nil {
		o.queue = takeQueue()
	}
	*o.queue = append(*o.queue, f)
	o.waitingBytes += len(f.Bytes)
}

// sent notes that the write in flight has ended well, and starts the next one. It
// returns what the write carried, and whether it is time to fill. It runs in the write
// pump.
func (o *outbox) sent() (frames, bytes int, fill bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.batch != nil {
		buffers.put(o.batch)
		o.batch = nil
	}
	frames, bytes = o.inFlightFrames, o.inFlightBytes
	o.inFlightFrames, o.inFlightBytes = 0, 0
	switch {
	case o.queue != nil:
		o.sendNext()
	case o.closing:
		o.sendClose()
	default:
		o.busy = false
	}
	full := o.waitingBytes+o.inFlightBytes > o.maxBytes/2 || o.queued() > o.maxFrames/2
	if !o.behind || o.closing || full {
		return frames, bytes, false
	}
	o.behind = false
	return frames, bytes, true
}

// close lets the close message follow what is there. Nothing more is taken.
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
	_ = o.writer.CloseWithMsg(o.last) // an error means that it is closed already
}

// send gives one frame to the write pump. The pump's own queue cannot be full: nothing
// is ever there but one frame and the close message, and newMelody makes room for more.
func (o *outbox) send(f stream.Frame) {
	o.inFlightBytes += len(f.Bytes)
	o.inFlightFrames++
	if f.Binary && o.plain {
		_ = o.writer.WriteBinary(f.Bytes) // an error means that it is closed already
		return
	}
	_ = o.writer.Write(f.Bytes)
}

// sendNext sends as many of the waiting frames as fit into one batch.
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
		o.waitingBytes -= len(f.Bytes)
	}
	left := copy(queue, queue[n:])
	clear(queue[left:])
	*o.queue = queue[:left]
	if left == 0 {
		putQueue(o.queue)
		o.queue = nil
	}
}

// sendLines sends several frames as one, with a line for each.
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
	o.inFlightFrames = len(frames) - 1 // send counts one more
	o.send(stream.Frame{Bytes: lines})
}

// sendFrames sends several frames as they are, in one write. All but the last are put
// ahead of the connection's next write, which is that of the last one.
func (o *outbox) sendFrames(frames []stream.Frame) {
	ahead, last := buffers.take(), len(frames)-1
	for _, f := range frames[:last] {
		*ahead = append(appendHeader(*ahead, f.Binary, len(f.Bytes)), f.Bytes...)
		o.inFlightBytes += len(f.Bytes)
	}
	o.inFlightFrames += last
	o.conn.putAhead(ahead)
	o.send(frames[last])
}

// appendHeader appends the header of an unfragmented, unmasked WebSocket frame
// ([RFC 6455 §5.2]).
//
// [RFC 6455 §5.2]: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
func appendHeader(dst []byte, binaryData bool, size int) []byte {
	first := byte(0x81) // the last fragment of a text message
	if binaryData {
		first = 0x82
	}
	switch {
	case size <= 125:
		return append(dst, first, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(size))
	}
}

// queues holds queues for sessions for which something waits, so that idle sessions
// have none.
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
