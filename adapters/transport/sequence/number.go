package sequence

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strconv"
)

// A number says which of its publisher's messages on a topic a message is.
type number struct {
	publisher publisherID
	n         uint64 // from 1
}

// A publisherID tells one publisher's numbers from those of all others. It is new
// for each [Numberer], and for each topic in it.
type publisherID [16]byte // lower-case hexadecimal

func newPublisherID() (id publisherID) {
	var random [len(id) / 2]byte
	rand.Read(random[:]) // never fails
	hex.Encode(id[:], random[:])
	return id
}

const (
	// numberHead is how a numbered envelope begins.
	numberHead = `{"stamp":"`
	// highWaterMarkTail is what follows the number of a high-water mark.
	highWaterMarkTail = `"mark":true}`
	// maxDigits is the most digits of a number. A number of that length fits a uint64.
	maxDigits = 18
	// numberSize is by how much a number can lengthen an envelope.
	numberSize = len(numberHead) + len(publisherID{}) + len(`:`) + maxDigits + len(`",`)
)

// appendNumbered appends an object with a number put into it as its first field.
func appendNumbered(dst []byte, n number, object []byte) []byte {
	dst = append(dst, numberHead...)
	dst = append(dst, n.publisher[:]...)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, n.n, 10)
	dst = append(dst, `",`...)
	return append(dst, object[1:]...)
}

// canCarryNumber says whether a number can be put into a payload. The payload must
// be an object that is not empty, and must not become a high-water mark by it.
func canCarryNumber(payload []byte) bool {
	if len(payload) == 0 || payload[0] != '{' || string(payload[1:]) == highWaterMarkTail {
		return false
	}
	rest := bytes.TrimLeft(payload[1:], " \t\r\n")
	return len(rest) > 0 && rest[0] != '}'
}

// cutNumber reads the number of an object and returns the object without it, in
// the same memory. Without a number it changes nothing.
func cutNumber(body []byte) (n number, rest []byte, ok bool) {
	at := len(numberHead)
	end := at + len(n.publisher)
	if len(body) <= end || string(body[:at]) != numberHead || body[end] != ':' {
		return number{}, body, false
	}
	for _, c := range body[at:end] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return number{}, body, false
		}
	}
	copy(n.publisher[:], body[at:end])
	at = end + 1
	for end = at; end < len(body) && end-at < maxDigits && isDigit(body[end]); end++ {
		n.n = n.n*10 + uint64(body[end]-'0')
	}
	if n.n == 0 || body[at] == '0' || len(body) < end+3 || body[end] != '"' || body[end+1] != ',' {
		return number{}, body, false
	}
	rest = body[end+1:]
	rest[0] = '{'
	return n, rest, true
}

// IsHighWaterMark reports whether a payload is a publisher's high-water mark. It does not
// change the payload.
func IsHighWaterMark(payload []byte) bool {
	const most = numberSize + len(highWaterMarkTail)
	if len(payload) > most || !bytes.HasSuffix(payload, []byte(`,`+highWaterMarkTail)) {
		return false
	}
	_, rest, ok := cutNumber(bytes.Clone(payload))
	return ok && string(rest) == "{"+highWaterMarkTail
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
