package domain

import (
	"encoding/base64"
	"encoding/binary"
	"time"
)

// A Cursor says "I have seen everything up to here" in one system. Clients see
// it as an opaque token. The token is unsigned and names no user: a session's
// own token decides what the session receives, so a forged cursor gives nobody
// a message that is not theirs.
type Cursor struct {
	Log      LogID     // the log that Position is in
	Position Position  // of the last entry seen; at most MaxPosition bytes
	Time     time.Time // when the log took that entry, to the millisecond
	// ID lets a node check that Position is still the one that was meant. On a
	// bus with a log it is [HashID] of the entry's message id, or 0 if the entry
	// is no message. On a bus without a log it is the [Fingerprint] of the last
	// record up to here, by which other nodes find the position; 0 if they
	// cannot.
	ID uint64
}

// MaxPosition is the longest position that a cursor can hold, in bytes.
const MaxPosition = 255

// MaxCursor is the longest token that [ParseCursor] reads, in bytes.
const MaxCursor = 400

const cursorVersion = 1

// IsZero reports whether c is the zero Cursor, which says nothing about what
// was seen.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// Append appends the cursor's token to dst. The token is the URL-safe base64 of
// a version byte, the log and the ID (8 bytes each, big-endian), the time in
// Unix milliseconds as a varint, and the position.
func (c Cursor) Append(dst []byte) []byte {
	var raw [1 + 8 + 8 + binary.MaxVarintLen64 + MaxPosition]byte
	raw[0] = cursorVersion
	binary.BigEndian.PutUint64(raw[1:], uint64(c.Log))
	binary.BigEndian.PutUint64(raw[9:], c.ID)
	var ms int64
	if !c.Time.IsZero() {
		ms = c.Time.UnixMilli()
	}
	n := 17 + binary.PutVarint(raw[17:], ms)
	n += copy(raw[n:], c.Position)
	return base64.RawURLEncoding.AppendEncode(dst, raw[:n])
}

// String returns the token, "" for the zero Cursor.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	return string(c.Append(nil))
}

// ParseCursor reads a token that [Cursor.Append] wrote. Any input is safe; one
// that is not a cursor returns a [FieldError].
func ParseCursor(token string) (Cursor, error) {
	bad := invalid("", "not a cursor")
	if len(token) > MaxCursor {
		return Cursor{}, bad
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < 18 || raw[0] != cursorVersion {
		return Cursor{}, bad
	}
	ms, n := binary.Varint(raw[17:])
	rest := raw[17+max(n, 0):]
	if n <= 0 || len(rest) == 0 || len(rest) > MaxPosition {
		return Cursor{}, bad
	}
	c := Cursor{
		Log:      LogID(binary.BigEndian.Uint64(raw[1:])),
		ID:       binary.BigEndian.Uint64(raw[9:]),
		Position: Position(rest),
	}
	if ms != 0 {
		c.Time = time.UnixMilli(ms).UTC()
	}
	return c, nil
}

// HashID condenses a message id to the 64 bits that a [Cursor] carries. It is
// [FNV-1a], the same on every node, and never 0.
//
// [FNV-1a]: http://www.isthe.com/chongo/tech/comp/fnv/
func HashID(id string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * prime
	}
	if h == 0 {
		return 1
	}
	return h
}

// NewLogID condenses the parts that identify a log, such as its transport, its
// topic and when it was created, into a [LogID]. It is never 0.
func NewLogID(parts ...string) LogID {
	var all []byte
	for _, p := range parts {
		all = binary.AppendUvarint(all, uint64(len(p)))
		all = append(all, p...)
	}
	return LogID(HashID(string(all)))
}
