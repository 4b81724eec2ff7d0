package domain

import (
	"encoding/base64"
	"encoding/binary"
	"time"
)

// A Cursor says "I have seen everything up to here" in one system. To clients
// it is an opaque token. It is unsigned and names no user: what a session gets
// is decided by its token, so a forged cursor harms nobody.
type Cursor struct {
	Log      LogID     // the log that Position is a place in
	Position Position  // at most MaxPosition bytes
	Time     time.Time // when the log took the entry, to the millisecond
	// ID proves that the place is the one that was meant. In a log it is HashID
	// of the entry's message, 0 where there is none. Without one it is the
	// Landmark of the last record up to here, by which other nodes find the
	// place; 0 if they cannot.
	ID uint64
}

// MaxPosition is the longest position a cursor can hold, in bytes.
const MaxPosition = 255

// MaxCursor is the longest token that ParseCursor reads, in bytes.
const MaxCursor = 400

const cursorVersion = 1

// IsZero reports whether c says nothing.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// Append appends the cursor's token to dst: URL-safe base64 of version, log,
// id, time and position.
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

// ParseCursor reads a token. Any input is safe; what is no cursor is a
// FieldError.
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

// HashID condenses a message id for a Cursor: 64-bit FNV-1a, the same on every
// node. It is never 0 for a real id.
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

// NewLogID condenses what identifies a log (transport, topic, creation…) into
// a LogID. It is never 0.
func NewLogID(parts ...string) LogID {
	var all []byte
	for _, p := range parts {
		all = binary.AppendUvarint(all, uint64(len(p)))
		all = append(all, p...)
	}
	return LogID(HashID(string(all)))
}
