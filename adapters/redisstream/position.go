package redisstream

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// An id is the id of a stream's entry. The zero id stands before all entries.
type id struct{ ms, seq uint64 }

var errID = errors.New("not the id of a stream's entry")

// parseID reads "ms-seq".
func parseID(text string) (id, error) {
	left, right, ok := strings.Cut(text, "-")
	ms, err1 := strconv.ParseUint(left, 10, 64)
	seq, err2 := strconv.ParseUint(right, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return id{}, errID
	}
	return id{ms, seq}, nil
}

// parsePosition reads what position returns.
func parsePosition(p domain.Position) (id, error) {
	if len(p) != 16 {
		return id{}, errors.New("not a position in a stream")
	}
	b := []byte(p)
	return id{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

// position is the id as 16 big-endian bytes, which sort as ids do.
func (i id) position() domain.Position {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], i.ms)
	binary.BigEndian.PutUint64(b[8:], i.seq)
	return domain.Position(b[:])
}

func (i id) String() string {
	return strconv.FormatUint(i.ms, 10) + "-" + strconv.FormatUint(i.seq, 10)
}

// time is when the server took the entry, by its clock. A publisher may choose
// ids that are no times; of those it says nothing.
func (i id) time() time.Time {
	if i.ms == 0 || i.ms > lastTime {
		return time.Time{}
	}
	return time.UnixMilli(int64(i.ms)).UTC()
}

// lastTime is the end of the year 9999, in milliseconds.
const lastTime = 253402300799999

func (i id) less(than id) bool {
	return i.ms < than.ms || i.ms == than.ms && i.seq < than.seq
}
