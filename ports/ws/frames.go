package ws

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/ports/session"
)

// The WebSocket library handles control frames and empty fragments by itself, and does
// not report them, so a client could send nothing else for ever. Therefore frames sees
// every frame before the library does.

// A breach is a rule that a client's frames have broken: the close code for it, and
// the reason.
type breach struct {
	code   int
	reason string
}

// Error returns the reason.
func (b *breach) Error() string { return b.reason }

// frames follows a client's frames ([RFC 6455 §5.2]) through the pieces in which they
// arrive. It is not safe for concurrent use.
//
// [RFC 6455 §5.2]: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
type frames struct {
	allow func(control bool) bool // counts a frame, and reports whether it is within the rate

	head       [14]byte // the header of the next frame, as far as it has come
	have       int      // how many bytes of head have come
	left       uint64   // bytes of the current frame's payload that have not come yet
	within     bool     // a message has begun and not ended
	closing    bool     // the payload is that of a close frame
	closeFrame []byte   // the payload of a close frame, as far as it has come
}

// The parts of a frame's header.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10

	finalBit, reservedBits, maskBit = 0x80, 0x70, 0x80
	length16, length64              = 126, 127 // a length of 16 or 64 bits follows
	highestBit                      = 0x80     // of a length of 64 bits; it must be 0

	lengthAt   = 2 // where a length of 16 or 64 bits is in a header
	maskLen    = 4
	codeLen    = 2   // the length of the close code in a close frame's payload
	maxControl = 125 // the most payload of a control frame
)

// follow looks at the next bytes, and returns the first rule that they break.
func (f *frames) follow(p []byte) *breach {
	for len(p) > 0 {
		if f.left > 0 {
			n := int(min(f.left, uint64(len(p))))
			if b := f.followPayload(p[:n]); b != nil {
				return b
			}
			p = p[n:]
			continue
		}
		f.head[f.have] = p[0]
		f.have++
		p = p[1:]
		if b := f.checkHead(); b != nil {
			return b
		}
	}
	return nil
}

// checkHead checks a header as far as it has come. It does not wait until the header is
// complete, because the library, which reads the same bytes, would find a fault first.
func (f *frames) checkHead() *breach {
	switch {
	case f.have == lengthAt:
		if reason := f.fault(f.head[0]&0x0f, f.head[0]&0x08 != 0); reason != "" {
			return &breach{session.CloseProtocol, reason}
		}
	case f.have == lengthAt+1 && f.head[1]&^maskBit == length64 && f.head[lengthAt]&highestBit != 0:
		return &breach{session.CloseProtocol, "a length has 63 bits"}
	case f.have > lengthAt && f.have == f.headLen():
		return f.begin()
	}
	return nil
}

// headLen returns how long the header is, with its mask.
func (f *frames) headLen() int {
	switch f.head[1] &^ maskBit {
	case length16:
		return lengthAt + 2 + maskLen
	case length64:
		return lengthAt + 8 + maskLen
	}
	return lengthAt + maskLen
}

// begin counts a frame whose header is complete. Its payload follows.
func (f *frames) begin() *breach {
	f.have = 0
	op, control := f.head[0]&0x0f, f.head[0]&0x08 != 0
	if !f.allow(control) {
		return &breach{session.ClosePolicy, "too many frames"}
	}
	switch n := f.head[1] &^ maskBit; n {
	case length16:
		f.left = uint64(binary.BigEndian.Uint16(f.head[lengthAt:]))
	case length64:
		f.left = binary.BigEndian.Uint64(f.head[lengthAt:])
	default:
		f.left = uint64(n)
	}
	if !control {
		f.within = f.head[0]&finalBit == 0
	}
	if f.closing = op == opClose; f.closing && f.left > 0 {
		f.closeFrame = make([]byte, 0, f.left)
	}
	return nil
}

// fault returns what is wrong with the first two bytes of a header, "" if nothing is.
func (f *frames) fault(op byte, control bool) string {
	switch {
	case f.head[1]&maskBit == 0:
		return "a client's frames are masked"
	case f.head[0]&reservedBits != 0:
		return "reserved bits are set"
	case op > opBinary && op < opClose || op > opPong:
		return "reserved opcode"
	case control && f.head[0]&finalBit == 0:
		return "a control frame is not fragmented"
	case control && f.head[1]&^maskBit > maxControl:
		return "a control frame has at most 125 bytes"
	case op == opContinuation && !f.within:
		return "nothing is to be continued"
	case !control && op != opContinuation && f.within:
		return "a message has not ended"
	}
	return ""
}

// followPayload looks at a part of a frame's payload. That of a close frame is checked
// when all of it has come.
func (f *frames) followPayload(p []byte) *breach {
	f.left -= uint64(len(p))
	if !f.closing {
		return nil
	}
	f.closeFrame = append(f.closeFrame, p...)
	if f.left > 0 {
		return nil
	}
	mask := f.head[lengthAt : lengthAt+maskLen]
	for i := range f.closeFrame {
		f.closeFrame[i] ^= mask[i%maskLen]
	}
	switch {
	case len(f.closeFrame) < codeLen || !mayClose(binary.BigEndian.Uint16(f.closeFrame)):
		return &breach{session.CloseProtocol, "a close frame needs a close code"}
	case !utf8.Valid(f.closeFrame[codeLen:]):
		return &breach{session.CloseNotUTF8, "the reason is not UTF-8"}
	}
	return nil
}

// mayClose reports whether a code may stand in a close frame ([RFC 6455 §7.4]).
//
// [RFC 6455 §7.4]: https://www.rfc-editor.org/rfc/rfc6455#section-7.4
func mayClose(code uint16) bool {
	switch {
	case code >= 3000 && code < 5000:
		return true
	case code == 1004 || code == 1005 || code == 1006:
		return false
	}
	return code >= 1000 && code <= 1013 // the library refuses 1014, which is for gateways
}
