package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// A stamp is what a message says of itself.
type stamp struct {
	to  uint32 // unicast: the client's number; fan-out: the system and the publisher, see run.to
	n   uint32 // the number of the message among those with the same to, from 0
	due int64  // nanoseconds since the load began
}

// The data of a message is the JSON object
//
//	{"bench":"RUN:TTTTTTTTNNNNNNNNDDDDDDDDDDDD","pad":"xxx…"}
//
// where RUN tells this load's messages from others, and T, N and D are the stamp in
// hexadecimal digits. Data travels as it is, so a client finds the stamp by its
// position behind the marker.
const (
	toDigits, numberDigits, dueDigits = 8, 8, 12
	stampDigits                       = toDigits + numberDigits + dueDigits
)

// A format writes and finds the data of one load's messages.
type format struct {
	id     string // tells the load's messages from others
	marker []byte // in front of the stamp
	tail   string // behind it
}

// newFormat returns a format whose data has size bytes, or as many as it needs.
func newFormat(size int) format {
	f := format{id: fmt.Sprintf("%08x", rand.Uint32()), tail: `"}`}
	f.marker = []byte(`{"bench":"` + f.id + `:`)
	const pad = `","pad":""}`
	if n := size - len(f.marker) - stampDigits - len(pad); n >= 0 {
		f.tail = `","pad":"` + strings.Repeat("x", n) + `"}`
	}
	return f
}

// appendData appends the data of a message.
func (f *format) appendData(b []byte, s stamp) []byte {
	b = append(b, f.marker...)
	b = appendHex(b, uint64(s.to), toDigits)
	b = appendHex(b, uint64(s.n), numberDigits)
	b = appendHex(b, uint64(s.due), dueDigits)
	return append(b, f.tail...)
}

// find returns the stamp of the first message of this load in b.
func (f *format) find(b []byte) (s stamp, ok bool) {
	i := bytes.Index(b, f.marker)
	if i < 0 || len(b) < i+len(f.marker)+stampDigits {
		return stamp{}, false
	}
	b = b[i+len(f.marker):]
	to, ok1 := hex(b[:toDigits])
	n, ok2 := hex(b[toDigits : toDigits+numberDigits])
	due, ok3 := hex(b[toDigits+numberDigits : stampDigits])
	return stamp{to: uint32(to), n: uint32(n), due: int64(due)}, ok1 && ok2 && ok3
}

func appendHex(b []byte, v uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[v>>shift&15])
	}
	return b
}

// nibbles are the values of hexadecimal digits, 0xff for what is none.
var nibbles = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	return t
}()

// hex reads digits as appendHex writes them.
func hex(b []byte) (v uint64, ok bool) {
	bad := byte(0)
	for _, c := range b {
		d := nibbles[c]
		bad |= d
		v = v<<4 | uint64(d&15)
	}
	return v, bad < 16
}
