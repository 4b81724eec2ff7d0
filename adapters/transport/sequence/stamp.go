package sequence

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strconv"
)

// A stamp numbers a publisher's messages on one topic. It is the first field of
// an envelope, where it is found without reading the rest:
//
//	{"stamp":"0123456789abcdef:1","to":…
type stamp struct {
	start  startID
	number uint64 // from 1
}

// A startID tells one publisher's numbers from all others': it is new for each
// Transport, and for each topic in it.
type startID [16]byte // lower-case hexadecimal

func newStartID() (s startID) {
	var random [len(s) / 2]byte
	rand.Read(random[:]) // never fails
	hex.Encode(s[:], random[:])
	return s
}

const (
	stampHead = `{"stamp":"`
	// markTail is what follows the stamp of a high-water mark, which is no message: it
	// says that the publisher's last message had that number.
	markTail = `"mark":true}`
	// maxDigits is the most digits of a number.
	maxDigits = 18
	// stampSize is by how much a stamp can lengthen an envelope.
	stampSize = len(stampHead) + len(startID{}) + len(`:`) + maxDigits + len(`",`)
)

// appendStamped appends an object with a stamp put into it as its first field.
func appendStamped(dst []byte, s stamp, object []byte) []byte {
	dst = append(dst, stampHead...)
	dst = append(dst, s.start[:]...)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, s.number, 10)
	dst = append(dst, `",`...)
	return append(dst, object[1:]...)
}

// stampable says whether a stamp can be put into a payload: it is an object
// that is not empty, and would not become a mark.
func stampable(payload []byte) bool {
	if len(payload) == 0 || payload[0] != '{' || string(payload[1:]) == markTail {
		return false
	}
	rest := bytes.TrimLeft(payload[1:], " \t\r\n")
	return len(rest) > 0 && rest[0] != '}'
}

// cutStamp reads the stamp of an object and returns the object without it, in
// the same memory. Without a stamp it changes nothing.
func cutStamp(body []byte) (s stamp, rest []byte, ok bool) {
	at := len(stampHead)
	end := at + len(s.start)
	if len(body) <= end || string(body[:at]) != stampHead || body[end] != ':' {
		return stamp{}, body, false
	}
	for _, c := range body[at:end] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return stamp{}, body, false
		}
	}
	copy(s.start[:], body[at:end])
	at = end + 1
	for end = at; end < len(body) && end-at < maxDigits && body[end] >= '0' && body[end] <= '9'; end++ {
		s.number = s.number*10 + uint64(body[end]-'0')
	}
	if s.number == 0 || body[at] == '0' || len(body) < end+3 || body[end] != '"' || body[end+1] != ',' {
		return stamp{}, body, false
	}
	rest = body[end+1:]
	rest[0] = '{'
	return s, rest, true
}
