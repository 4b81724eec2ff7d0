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

// An id is the id of a stream's entry. The zero id stands before all entries.
type id struct{ ms, seq uint64 }

var errID = errors.New("not the id of a stream's entry")

// parseID reads "ms-seq".
func parseID(text []byte) (id, error) {
	left, right, ok := bytes.Cut(text, []byte("-"))
	ms, ok1 := parseUint(left)
	seq, ok2 := parseUint(right)
	if !ok || !ok1 || !ok2 {
		return id{}, errID
	}
	return id{ms, seq}, nil
}

// parseUint is strconv.ParseUint without a string.
func parseUint(digits []byte) (n uint64, ok bool) {
	for _, d := range digits {
		if d < '0' || d > '9' || n > (math.MaxUint64-uint64(d-'0'))/10 {
			return 0, false
		}
		n = n*10 + uint64(d-'0')
	}
	return n, len(digits) > 0
}

// positionSize is the length of a position in bytes.
const positionSize = 16

// parsePosition reads what position returns.
func parsePosition(p domain.Position) (id, error) {
	if len(p) != positionSize {
		return id{}, errors.New("not a position in a stream")
	}
	b := []byte(p)
	return id{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

// position is the id as big-endian bytes, which sort as ids do.
func (i id) position() domain.Position { return domain.Position(i.appendTo(nil)) }

func (i id) appendTo(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, i.ms), i.seq)
}

func (i id) String() string {
	return strconv.FormatUint(i.ms, 10) + "-" + strconv.FormatUint(i.seq, 10)
}

// time is when the server took the entry, by its clock. A publisher may choose
// ids that are no times; of those it says nothing.
func (i id) time() time.Time {
	if i.ms == 0 || i.ms > maxTime {
		return time.Time{}
	}
	return time.UnixMilli(int64(i.ms)).UTC()
}

// lastTime is the end of the year 9999, in milliseconds.
const maxTime = 253402300799999

func (i id) less(than id) bool {
	return i.ms < than.ms || i.ms == than.ms && i.seq < than.seq
}
