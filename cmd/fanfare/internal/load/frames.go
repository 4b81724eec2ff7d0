package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
)

// The opcodes of frames ([RFC 6455 §5.2]).
//
// [RFC 6455 §5.2]: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10

	finalBit, reservedBits, maskBit = 0x80, 0x70, 0x80
	maxControl                      = 125     // bytes of a control frame's payload
	maxMessage                      = 4 << 20 // bytes of a message
)

// A frameReader cuts what a server sends into messages and control frames. It keeps
// nothing but what is incomplete, so that thousands of them cost little.
type frameReader struct {
	rest    []byte // the beginning of a frame whose end has not come
	message []byte // the fragments of a message whose end has not come
	op      byte   // the opcode of that message; 0 if there is none
}

// A receiver takes what a frameReader finds: whole messages and control frames. The
// payload belongs to the caller again when take returns.
type receiver interface {
	take(op byte, payload []byte) error
}

// feed reads the next bytes. Its error is the first rule that the server breaks, or
// what take returned; then the connection is of no more use.
func (f *frameReader) feed(p []byte, to receiver) error {
	if len(f.rest) > 0 {
		f.rest = append(f.rest, p...)
		p = f.rest
	}
	for {
		payload, size, err := cut(p)
		if err != nil {
			return err
		}
		if size == 0 {
			f.keep(p)
			return nil
		}
		if err := f.frame(p[0], payload, to); err != nil {
			return err
		}
		p = p[size:]
	}
}

// keep remembers an incomplete frame. Memory that was needed for a large one is let
// go when nothing is left.
func (f *frameReader) keep(p []byte) {
	if len(p) == 0 && cap(f.rest) > 4096 {
		f.rest = nil
		return
	}
	f.rest = append(f.rest[:0], p...)
}

// cut returns the payload of the frame at the beginning of p, and how many bytes the
// frame has: 0 if its end has not come.
func cut(p []byte) (payload []byte, size int, err error) {
	if len(p) < 2 {
		return nil, 0, nil
	}
	if p[1]&maskBit != 0 {
		return nil, 0, errors.New("the server masks its frames")
	}
	length, head := uint64(p[1]), 2
	switch length {
	case 126:
		if head = 4; len(p) < head {
			return nil, 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		if head = 10; len(p) < head {
			return nil, 0, nil
		}
		length = binary.BigEndian.Uint64(p[2:])
	}
	if length > maxMessage {
		return nil, 0, fmt.Errorf("the server sends a frame of %d bytes: at most %d are read", length, maxMessage)
	}
	if size = head + int(length); len(p) < size {
		return nil, 0, nil
	}
	return p[head:size], size, nil
}

// frame takes one frame, of which first is the first byte.
func (f *frameReader) frame(first byte, payload []byte, to receiver) error {
	op, final := first&0x0f, first&finalBit != 0
	switch {
	case first&reservedBits != 0:
		return errors.New("the server sets reserved bits")
	case op >= opClose && (!final || len(payload) > maxControl):
		return errors.New("the server sends a control frame that is in parts or too long")
	case op > opPong || op > opBinary && op < opClose:
		return fmt.Errorf("the server sends a frame of the unknown kind %d", op)
	case op >= opClose:
		return to.take(op, payload)
	case (op == opContinuation) != (f.op != 0):
		return errors.New("the server mixes up the parts of messages")
	case final && op != opContinuation:
		return to.take(op, payload)
	}
	if op != opContinuation {
		f.op = op
	}
	if len(f.message)+len(payload) > maxMessage {
		return fmt.Errorf("the server sends a message of more than %d bytes", maxMessage)
	}
	f.message = append(f.message, payload...)
	if !final {
		return nil
	}
	op, message := f.op, f.message
	f.op, f.message = 0, nil
	return to.take(op, message)
}

// appendFrame appends a whole frame as clients send them: masked ([RFC 6455 §5.3]).
// The payload has at most maxControl bytes.
//
// [RFC 6455 §5.3]: https://www.rfc-editor.org/rfc/rfc6455#section-5.3
func appendFrame(b []byte, op byte, payload []byte) []byte {
	b = append(b, finalBit|op, maskBit|byte(len(payload)))
	mask := binary.BigEndian.AppendUint32(nil, rand.Uint32())
	b = append(b, mask...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}
