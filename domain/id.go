package domain

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"sync"
	"time"
)

// NewID returns an id that cannot be guessed: a [ULID], which is 48 bits of Unix
// milliseconds and 80 random bits, written as 26 characters of Crockford's base
// 32. The randomness is the operating system's, so nobody can tell the next id
// from ids that were seen. Ids sort by their millisecond; ids of the same
// millisecond are in no order.
//
// [ULID]: https://github.com/ulid/spec
func NewID() string {
	var u ulid
	u.setTime(time.Now())
	rand.Read(u[6:]) // never fails
	return u.String()
}

// IDs makes ULIDs of which each is greater than the one before, so that the ids
// of a batch sort as the batch does. Somebody who has seen one can guess those
// around it, so they must not serve as secrets; use [NewID] for that. The zero
// value is ready to use. IDs is safe for concurrent use.
type IDs struct {
	mu   sync.Mutex
	last ulid // guarded by mu
}

// Next returns an id that is greater than all that it returned before, even if
// the clock was set back.
func (ids *IDs) Next() string {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	var u ulid
	u.setTime(time.Now())
	if u.time() > ids.last.time() {
		rand.Read(u[6:]) // never fails
		u[6] &= 0x7f     // leaves room to grow within the millisecond
	} else {
		u = ids.last.after()
	}
	ids.last = u
	return u.String()
}

// A ulid is an id in binary. It is big-endian, so that its byte order is also
// that of its text.
type ulid [16]byte

func (u *ulid) setTime(t time.Time) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(t.UnixMilli(), 0)))
	copy(u[:6], ms[2:])
}

func (u *ulid) time() uint64 { return binary.BigEndian.Uint64(u[:8]) >> 16 }

// after returns a ulid that is greater by 1 to 2^32. If the random bits
// overflow, the carry goes into the time and makes it the next millisecond. Who
// knows u needs no more than 2^32 guesses anyway, so the step is not worth the
// operating system's randomness.
func (u ulid) after() ulid {
	low := binary.BigEndian.Uint64(u[8:])
	sum := low + uint64(mathrand.Uint32()) + 1
	binary.BigEndian.PutUint64(u[8:], sum)
	if sum < low {
		binary.BigEndian.PutUint64(u[:8], binary.BigEndian.Uint64(u[:8])+1)
	}
	return u
}

// crockford is an alphabet without the letters that look like digits.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// String writes 5 bits in each character, and the remaining 3 in the first.
func (u ulid) String() string {
	var text [26]byte
	high, low := binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = crockford[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return string(text[:])
}

// Name gives an id to every message that has none. The ids that it gives sort
// as the messages do.
func (ids *IDs) Name(messages ...*Message) {
	for _, m := range messages {
		if m.ID == "" {
			m.ID = ids.Next()
		}
	}
}
