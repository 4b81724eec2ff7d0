package ws

import (
	"slices"
	"sync"

	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// An outbox holds what a session's client is to be sent and what is not written yet. It
// is safe for concurrent use and never blocks.
//
// An outbox is scheduled from the moment when something is put into it until its writer
// finds nothing left in it. The call that makes it scheduled reports so, and its caller
// sends a writer: see client.schedule. So there is one writer at most, which alternates
// between next and written.
//
// A frame is refused if there is no room. The session then falls back to catching up:
// the writer must tell it when there is room to fill. It cannot forget that, because
// two rules hold whenever the lock is free:
//
//  1. Frames wait, or are in flight, only while the outbox is scheduled.
//  2. A refusal sets behind under the same lock, and frames are refused only while
//     others wait or are in flight.
//
// So each refusal is followed by a call of written that sees behind. If the outbox is
// still more than half full then, frames wait, the outbox stays scheduled (rule 1), and
// another call of written follows. Otherwise written reports that it is time to fill.
// Any single frame fits into an empty outbox, whatever its size. Nothing is filled that
// is closed.
type outbox struct {
	maxBytes  int // waiting and in flight
	maxFrames int // waiting
	plain     bool

	mu            sync.Mutex // guards all below
	scheduled     bool       // a writer is at work, or on its way
	behind        bool       // a frame was refused since written last reported time to fill
	closing       bool       // no more frames are taken
	closed        bool       // nothing is taken any more: the close frame has left, or writing has failed
	queue         []stream.Frame
	waitingBytes  int             // in queue, which is nil if no frame waits
	inFlightBytes int             // with the writer
	inFlight      []stream.Frame  // the frames of that
	lost          *[]stream.Frame // what was dropped, or in flight when writing failed; nil for nothing
	notes         *[]noted        // of frames in queue, in its order; nil for none
	offers        uint64          // calls of offer and offerNoted so far
	control       []byte          // the answer to the handshake, and complete pings and pongs, before all else
	answer        int             // bytes of that answer in control
	last          []byte          // the complete close frame, which follows the queue
	idle          chan struct{}   // closed when the outbox is not scheduled any more; nil if nobody waits
}

const (
	// batchBytes bounds what is joined into one write.
	batchBytes = 64 << 10
	// replyBytes and replyFrames are kept for answers and notices when messages
	// fill the rest.
	replyBytes, replyFrames = 16 << 10, 128
	// controlBytes bounds the pings and pongs that wait.
	controlBytes = 16 << 10
)

// offer takes a message or a gap. The result taken is false if there is no room; due
// reports that the caller has to send a writer.
func (o *outbox) offer(f stream.Frame) (taken, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.offers++
	return o.take(f, o.maxBytes, o.maxFrames)
}

// A noted is a note of a frame that waits.
type noted struct {
	frame int // its index in the queue
	note  *stream.Note
}

// offerNoted is offer for a message with a note.
func (o *outbox) offerNoted(f stream.Frame, n *stream.Note) (taken, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.offers++
	if taken, due = o.take(f, o.maxBytes, o.maxFrames); taken {
		if o.notes == nil {
			o.notes = new([]noted)
		}
		*o.notes = append(*o.notes, noted{len(o.queue) - 1, n})
	}
	return taken, due
}

// takeNotes moves the notes of the first n frames of the queue to those of a batch.
func (o *outbox) takeNotes(n int, into []*stream.Note) []*stream.Note {
	into = into[:0]
	if o.notes == nil {
		return into
	}
	rest := (*o.notes)[:0]
	for _, it := range *o.notes {
		if it.frame < n {
			into = session.AddNote(into, it.note)
		} else {
			rest = append(rest, noted{it.frame - n, it.note})
		}
	}
	if *o.notes = rest; len(rest) == 0 {
		o.notes = nil
	}
	return into
}

// reply takes an answer or a notice, for which there is more room.
func (o *outbox) reply(f []byte) (taken, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.take(stream.Frame{Bytes: f}, o.maxBytes+replyBytes, o.maxFrames+replyFrames)
}

// replyIfRoom takes a notice that has no more room than a message.
func (o *outbox) replyIfRoom(f []byte) (taken, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.take(stream.Frame{Bytes: f}, o.maxBytes, o.maxFrames)
}

// replyIfQuiet takes a notice, unless something was offered since offered returned
// offers. It has no more room than a message.
func (o *outbox) replyIfQuiet(f []byte, offers uint64) (taken, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.offers != offers {
		return false, false
	}
	return o.take(stream.Frame{Bytes: f}, o.maxBytes, o.maxFrames)
}

// unwritten calls each with the messages that were taken and are not written, oldest first,
// until it returns false. Nothing is taken any more once something was lost.
func (o *outbox) unwritten(each func(f []byte) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var lost []stream.Frame
	if o.lost != nil {
		lost = *o.lost
	}
	for _, frames := range [...][]stream.Frame{o.inFlight, lost, o.queue} {
		for i := range frames {
			if frames[i].Message && !each(frames[i].Bytes) {
				return
			}
		}
	}
}

// offered returns how often offer was called.
func (o *outbox) offered() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offers
}

// pending returns how many frames wait, and how many bytes of those and of what is with the
// writer.
func (o *outbox) pending() (frames, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue), o.waitingBytes + o.inFlightBytes
}

// take lets a frame wait, if there is room. The caller holds mu.
func (o *outbox) take(f stream.Frame, maxBytes, maxFrames int) (taken, due bool) {
	size, empty := len(f.Bytes), o.queue == nil && o.inFlightBytes == 0
	switch {
	case f.Bytes == nil:
		return true, false
	case o.closing:
		return false, false
	case !empty && (o.waitingBytes+o.inFlightBytes+size > maxBytes || len(o.queue) >= maxFrames):
		o.behind = true
		return false, false
	}
	if o.queue == nil {
		o.queue = takeQueue()
	}
	o.queue = append(o.queue, f)
	o.waitingBytes += size
	return true, o.schedule()
}

// schedule makes the outbox scheduled, and reports whether it was not. The caller holds
// mu.
func (o *outbox) schedule() (due bool) {
	due = !o.scheduled
	o.scheduled = true
	return due
}

// sendControl takes a complete ping or pong. If too much of that waits, what came
// before is dropped: a client need not get each ping, and the newest pong answers all
// pings ([RFC 6455 §5.5.3]).
//
// [RFC 6455 §5.5.3]: https://www.rfc-editor.org/rfc/rfc6455#section-5.5.3
func (o *outbox) sendControl(f []byte) (due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	if len(o.control)+len(f) > controlBytes {
		o.control = o.control[:o.answer]
	}
	o.control = append(o.control, f...)
	return o.schedule()
}

// begin puts the answer to the handshake before everything. The outbox is scheduled from
// now on, and the caller has to send a writer.
func (o *outbox) begin(answer []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.control, o.answer, o.scheduled = answer, len(answer), true
}

// close lets the complete close frame follow what waits. No more frames are taken.
func (o *outbox) close(last []byte) (due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing {
		return false
	}
	o.closing, o.last = true, last
	return o.schedule()
}

// cut is close, but drops the frames that wait. A close frame that waits already is
// kept.
func (o *outbox) cut(last []byte) (due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	if o.last == nil {
		o.last = last
	}
	o.closing = true
	o.drop()
	return o.schedule()
}

// stop takes nothing any more. What waits is dropped, unless there is a close frame
// that may still reach the client. The channel that stop returns is closed when the
// outbox is not scheduled any more, and so has no writer.
func (o *outbox) stop() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closing = true
	if o.last == nil {
		o.closed, o.control = true, nil
		o.drop()
	}
	if !o.scheduled {
		return closedChannel
	}
	o.idle = make(chan struct{})
	return o.idle
}

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// lose notes frames that will not be written, which came before those that were lost already.
func (o *outbox) lose(frames []stream.Frame) {
	if len(frames) == 0 {
		return
	}
	all := slices.Clone(frames)
	if o.lost != nil {
		all = append(all, *o.lost...)
	}
	o.lost = &all
}

// drop forgets the frames that wait.
func (o *outbox) drop() {
	o.lose(o.queue)
	putQueue(o.queue)
	o.queue, o.waitingBytes, o.notes = nil, 0, nil
}

// next moves what is to be written next into b. It returns false if there is nothing,
// and the outbox is not scheduled then. Only the writer calls it.
func (o *outbox) next(b *batch) bool {
	o.mu.Lock()
	if o.isEmpty() {
		o.unschedule()
		o.mu.Unlock()
		return false
	}
	control, frames := o.control, o.takeFrames()
	o.control, o.answer, o.inFlight = nil, 0, frames
	b.notes = o.takeNotes(len(frames), b.notes)
	var last []byte
	if o.queue == nil && o.last != nil && !isLarge(frames) {
		last, o.last, o.closed = o.last, nil, true
	}
	o.mu.Unlock()
	b.build(control, frames, last, o.plain)
	return true
}

func (o *outbox) isEmpty() bool {
	return o.queue == nil && len(o.control) == 0 && o.last == nil
}

func (o *outbox) unschedule() {
	o.scheduled = false
	if o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
}

// takeFrames takes as many of the frames that wait as fit into one batch.
func (o *outbox) takeFrames() []stream.Frame {
	frames := o.queue
	o.queue = nil
	if o.waitingBytes+len(frames) > batchBytes {
		n, size := 0, 0
		for n < len(frames) && (n == 0 || size+1+len(frames[n].Bytes) <= batchBytes) {
			size += 1 + len(frames[n].Bytes)
			n++
		}
		if n < len(frames) {
			o.queue = append(takeQueue(), frames[n:]...)
			clear(frames[n:])
			frames = frames[:n]
		}
	}
	for i := range frames {
		o.inFlightBytes += len(frames[i].Bytes)
	}
	o.waitingBytes -= o.inFlightBytes
	return frames
}

// written notes that the batch that next has made is written. It reports whether it is
// time to fill, and whether next has to be called again; else the outbox is not
// scheduled any more. Only the writer calls it.
func (o *outbox) written() (fill, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	putQueue(o.inFlight)
	o.inFlight, o.inFlightBytes = nil, 0
	full := o.waitingBytes > o.maxBytes/2 || len(o.queue) > o.maxFrames/2
	if fill = o.behind && !o.closing && !full; fill {
		o.behind = false
	}
	if more = fill || !o.isEmpty(); !more {
		o.unschedule()
	}
	return fill, more
}

// fail notes that writing has failed: nothing is taken any more. Only the writer calls
// it, and nothing of the outbox afterwards.
func (o *outbox) fail() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closing, o.closed = true, true
	o.drop()
	o.lose(o.inFlight)
	o.inFlight, o.inFlightBytes, o.control, o.last = nil, 0, nil, nil
	o.unschedule()
}

// queueLen is how many frames a queue holds without being allocated anew.
const queueLen = 32

// queues holds queues for sessions for which something waits, so that idle sessions
// have none.
var queues = sync.Pool{New: func() any { return new([queueLen]stream.Frame) }}

func takeQueue() []stream.Frame { return queues.Get().(*[queueLen]stream.Frame)[:0] }

// putQueue gives a queue back, and lets its frames go.
func putQueue(q []stream.Frame) {
	if cap(q) == queueLen {
		clear(q)
		queues.Put((*[queueLen]stream.Frame)(q[:queueLen]))
	}
}
