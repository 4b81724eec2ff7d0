package redisstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// An id is the [id of a stream's entry]: Unix milliseconds and a number that tells
// the entries of one millisecond apart. Ids only grow within a stream. The zero id
// stands before all entries.
//
// [id of a stream's entry]: https://redis.io/docs/latest/develop/data-types/streams/#entry-ids
type id struct{ ms, seq uint64 }

var errID = errors.New("not the id of a stream's entry")

// parseID reads an id as Redis writes it: "ms-seq".
func parseID(text []byte) (id, error) {
	left, right, ok := bytes.Cut(text, []byte("-"))
	ms, ok1 := parseUint(left)
	seq, ok2 := parseUint(right)
	if !ok || !ok1 || !ok2 {
		return id{}, errID
	}
	return id{ms, seq}, nil
}

// parseUint is strconv.ParseUint for bytes. It does not allocate a string.
func parseUint(digits []byte) (n uint64, ok bool) {
	for _, d := range digits {
		if d < '0' || d > '9' || n > (math.MaxUint64-uint64(d-'0'))/10 {
			return 0, false
		}
		n = n*10 + uint64(d-'0')
	}
	return n, len(digits) > 0
}

// String returns the id as Redis writes it.
func (i id) String() string {
	var text [maxID]byte
	b := append(strconv.AppendUint(text[:0], i.ms, 10), '-')
	return string(strconv.AppendUint(b, i.seq, 10))
}

// maxID is the length of the longest id as Redis writes it: two numbers of 64 bits.
const maxID = 20 + 1 + 20

// positionSize is the length of a position in bytes.
const positionSize = 16

// position returns the id as a position: two big-endian numbers, whose bytes sort
// as the ids do.
func (i id) position() domain.Position { return domain.Position(i.appendTo(nil)) }

// appendTo appends the bytes of the id's position to b.
func (i id) appendTo(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, i.ms), i.seq)
}

// parsePosition reads what position returns.
func parsePosition(p domain.Position) (id, error) {
	if len(p) != positionSize {
		return id{}, errors.New("not a position in a stream")
	}
	b := []byte(p)
	return id{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

// maxTime is the end of the year 9999, in Unix milliseconds.
const maxTime = 253402300799999

// time returns when the server added the entry, by the server's clock. It returns
// the zero time for an id that a publisher has chosen and that cannot be a time.
func (i id) time() time.Time {
	if i.ms == 0 || i.ms > maxTime {
		return time.Time{}
	}
	return time.UnixMilli(int64(i.ms)).UTC()
}

func (i id) less(other id) bool {
	return i.ms < other.ms || i.ms == other.ms && i.seq < other.seq
}

// previous returns the highest id below i, or the zero id if there is none.
func (i id) previous() id {
	switch {
	case i.seq > 0:
		return id{i.ms, i.seq - 1}
	case i.ms > 0:
		return id{i.ms - 1, math.MaxUint64}
	}
	return id{}
}

// next returns the lowest id above i. The highest id of all has none; callers do
// not pass it.
func (i id) next() id {
	if i.seq == math.MaxUint64 {
		return id{i.ms + 1, 0}
	}
	return id{i.ms, i.seq + 1}
}
