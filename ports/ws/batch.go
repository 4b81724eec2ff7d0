package ws

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A batch is what a writer writes at once: complete WebSocket frames.
type batch struct {
	buf []byte
	// large follows buf. It is the payload of a frame that is too large to be copied,
	// since sessions share it.
	large []byte
	tally tally
	delay session.Delays // of the messages
	notes []*stream.Note // of the messages that want receipts, the newest of each system
	last  bool           // it ends with the close frame
}

// isLarge reports whether frames that takeFrames has taken are one that is not copied.
func isLarge(frames []stream.Frame) bool {
	return len(frames) == 1 && len(frames[0].Bytes) > batchBytes
}

// A tally counts what was written.
type tally struct {
	writes   uint64 // that carried messages or notices
	frames   uint64 // messages and notices
	messages uint64 // of the frames
	bytes    uint64 // of them, and of the line feeds between them
}

func (t *tally) add(u tally) {
	t.writes += u.writes
	t.frames += u.frames
	t.messages += u.messages
	t.bytes += u.bytes
}

// build puts the batch together. Control and last are complete frames. Those for plain
// clients are one WebSocket frame each; those of fanfare.v1.json are the lines of one.
func (b *batch) build(control []byte, frames []stream.Frame, last []byte, plain bool) {
	b.buf, b.large = append(b.buf[:0], control...), nil
	b.tally, b.last = tally{}, last != nil
	b.count(frames)
	switch {
	case isLarge(frames):
		f := &frames[0]
		b.buf, b.large = appendHeader(b.buf, plain && f.Binary, len(f.Bytes)), f.Bytes
		b.tally.bytes += uint64(len(f.Bytes))
	case plain:
		b.addFrames(frames)
	case len(frames) > 0:
		b.addLines(frames)
	}
	b.buf = append(b.buf, last...)
}

// count counts the messages and notices.
func (b *batch) count(frames []stream.Frame) {
	b.delay.Reset()
	if len(frames) == 0 {
		return
	}
	b.tally.writes, b.tally.frames = 1, uint64(len(frames))
	for i := range frames {
		if f := &frames[i]; f.Message {
			b.tally.messages++
			b.delay.Add(f.Read)
		}
	}
}

func (b *batch) isEmpty() bool { return len(b.buf)+len(b.large) == 0 }

// rest returns a batch of its own with what is left after n bytes of buf.
func (b *batch) rest(n int) *batch {
	return &batch{
		buf: bytes.Clone(b.buf[n:]), large: b.large, last: b.last,
		tally: b.tally, delay: b.delay.Take(), notes: slices.Clone(b.notes),
	}
}

func (b *batch) addFrames(frames []stream.Frame) {
	for i := range frames {
		f := &frames[i]
		b.buf = append(appendHeader(b.buf, f.Binary, len(f.Bytes)), f.Bytes...)
		b.tally.bytes += uint64(len(f.Bytes))
	}
}

func (b *batch) addLines(lines []stream.Frame) {
	size := len(lines) - 1
	for i := range lines {
		size += len(lines[i].Bytes)
	}
	b.tally.bytes += uint64(size)
	b.buf = appendHeader(b.buf, false, size)
	for i := range lines {
		if i > 0 {
			b.buf = append(b.buf, '\n')
		}
		b.buf = append(b.buf, lines[i].Bytes...)
	}
}

// appendHeader appends the header of an unfragmented, unmasked WebSocket frame
// ([RFC 6455 §5.2]).
//
// [RFC 6455 §5.2]: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
func appendHeader(dst []byte, binaryData bool, size int) []byte {
	first := byte(finalBit | opText) // the last fragment of a message
	if binaryData {
		first = finalBit | opBinary
	}
	switch {
	case size <= maxControl:
		return append(dst, first, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, length16), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, length64), uint64(size))
	}
}

// controlFrame returns a complete ping, pong or close frame. What is too long for one
// is cut off.
func controlFrame(op byte, payload []byte) []byte {
	n := min(len(payload), maxControl)
	return append([]byte{finalBit | op, byte(n)}, payload[:n]...)
}
