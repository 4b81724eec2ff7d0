package domain

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"
)

// An id of ours is a ULID: 48 bits of Unix milliseconds and 80 random bits, in
// 26 characters of Crockford's base 32 whose byte order is that of time. All
// randomness is the operating system's, so that nobody can tell the next id
// from those that were seen.

// NewID returns an id that cannot be guessed. Ids of the same millisecond have
// no order.
func NewID() string {
	var u ulid
	u.setTime(time.Now())
	rand.Read(u[6:]) // never fails
	return u.String()
}

// IDs makes ids that grow from one to the next, so that the ids of a batch sort
// as the batch does. Whoever has seen one can guess at those around it: they
// name things, and protect nothing. The zero value is ready; it is safe for
// concurrent use.
type IDs struct {
	mu   sync.Mutex
	last ulid // guarded by mu
}

// Next returns an id that is greater than all before it, even when the clock
// has been set back.
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

// Name gives an id to every message that has none. The ids that it gives sort
// as the messages do.
func (ids *IDs) Name(messages ...*Message) {
	for _, m := range messages {
		if m.ID == "" {
			m.ID = ids.Next()
		}
	}
}

// A ulid is an id in binary: big-endian, so that its order is the text's.
type ulid [16]byte

func (u *ulid) setTime(t time.Time) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(t.UnixMilli(), 0)))
	copy(u[:6], ms[2:])
}

func (u *ulid) time() uint64 { return binary.BigEndian.Uint64(u[:8]) >> 16 }

// after returns a ulid that is greater by 1 to 2^32. Where the random bits
// overflow, they carry into the time: that is the next millisecond.
func (u ulid) after() ulid {
	var step [4]byte
	rand.Read(step[:]) // never fails
	low := binary.BigEndian.Uint64(u[8:])
	sum := low + uint64(binary.BigEndian.Uint32(step[:])) + 1
	binary.BigEndian.PutUint64(u[8:], sum)
	if sum < low {
		binary.BigEndian.PutUint64(u[:8], binary.BigEndian.Uint64(u[:8])+1)
	}
	return u
}

// crockford has no letters that are taken for digits.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// String writes 5 bits a character; the first one has the 3 that are left.
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
