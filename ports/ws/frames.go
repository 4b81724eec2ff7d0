package ws

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/ports/session"
)

// The WebSocket library handles control frames and empty fragments itself and
// tells nobody, so a client could keep it at that for ever. frames sees every
// frame before the library does.

// A breach is what ends a connection: the close code, and why.
type breach struct {
	code   int
	reason string
}

func (b *breach) Error() string { return b.reason }

// frames follows a client's frames (RFC 6455, 5.2) through whatever pieces they
// arrive in. It is the reader's.
type frames struct {
	allow func(control bool) bool // counts a frame, and says whether it is within the rate

	head    [14]byte // of a frame, as far as it has come
	have    int      // of head
	left    uint64   // of the payload of the frame before head
	within  bool     // a message has begun and not ended
	closing bool     // the payload is that of a close frame
	last    []byte   // of a close frame: its payload
}

const (
	opContinuation = 0
	opBinary       = 2
	opClose        = 8
	opPong         = 10

	finalBit, reservedBits, maskBit = 0x80, 0x70, 0x80
	length16, length64              = 126, 127 // the length follows, in so many bits
	highestBit                      = 0x80     // of a length of 64 bits

	lengthAt      = 2 // where the longer lengths are in a head
	maskLen       = 4
	codeLen       = 2 // of a close frame's payload
	mostOfControl = 125
)

// see follows bytes, and returns what the client does wrong in them.
func (f *frames) see(p []byte) *breach {
	for len(p) > 0 {
		if f.left > 0 {
			n := int(min(f.left, uint64(len(p))))
			if b := f.payload(p[:n]); b != nil {
				return b
			}
			p = p[n:]
			continue
		}
		f.head[f.have] = p[0]
		f.have++
		p = p[1:]
		if b := f.judge(); b != nil {
			return b
		}
	}
	return nil
}

// judge looks at a head as far as it has come: the library, which follows, is not
// to see what is wrong first.
func (f *frames) judge() *breach {
	switch {
	case f.have == lengthAt:
		if reason := f.wrong(f.head[0]&0x0f, f.head[0]&0x08 != 0); reason != "" {
			return &breach{session.CloseProtocol, reason}
		}
	case f.have == lengthAt+1 && f.head[1]&^maskBit == length64 && f.head[lengthAt]&highestBit != 0:
		return &breach{session.CloseProtocol, "a length has 63 bits"}
	case f.have > lengthAt && f.have == f.headLen():
		return f.begin()
	}
	return nil
}

// headLen is how long the head is, mask included.
func (f *frames) headLen() int {
	switch f.head[1] &^ maskBit {
	case length16:
		return lengthAt + 2 + maskLen
	case length64:
		return lengthAt + 8 + maskLen
	}
	return lengthAt + maskLen
}

// begin counts a frame by its head, and waits for its payload.
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
		f.last = make([]byte, 0, f.left)
	}
	return nil
}

// wrong says what is wrong with the first two bytes of a head.
func (f *frames) wrong(op byte, control bool) string {
	switch {
	case f.head[1]&maskBit == 0:
		return "a client's frames are masked"
	case f.head[0]&reservedBits != 0:
		return "reserved bits are set"
	case op > opBinary && op < opClose || op > opPong:
		return "reserved opcode"
	case control && f.head[0]&finalBit == 0:
		return "a control frame is not fragmented"
	case control && f.head[1]&^maskBit > mostOfControl:
		return "a control frame has at most 125 bytes"
	case op == opContinuation && !f.within:
		return "nothing is to be continued"
	case !control && op != opContinuation && f.within:
		return "a message has not ended"
	}
	return ""
}

// payload takes a part of one; of a close frame it is judged when it is whole.
func (f *frames) payload(p []byte) *breach {
	f.left -= uint64(len(p))
	if !f.closing {
		return nil
	}
	f.last = append(f.last, p...)
	if f.left > 0 {
		return nil
	}
	mask := f.head[lengthAt : lengthAt+maskLen]
	for i := range f.last {
		f.last[i] ^= mask[i%maskLen]
	}
	switch {
	case len(f.last) < codeLen || !mayClose(binary.BigEndian.Uint16(f.last)):
		return &breach{session.CloseProtocol, "a close frame needs a close code"}
	case !utf8.Valid(f.last[codeLen:]):
		return &breach{session.CloseNotUTF8, "the reason is not UTF-8"}
	}
	return nil
}

// mayClose says whether a code may stand in a close frame (RFC 6455, 7.4).
func mayClose(code uint16) bool {
	switch {
	case code >= 3000 && code < 5000:
		return true
	case code == 1004 || code == 1005 || code == 1006:
		return false
	}
	return code >= 1000 && code <= 1014
}
