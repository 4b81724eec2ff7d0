package kafka

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/fanfarebus/fanfare/domain"
)

// position makes a position of the offset to go on from: its big-endian bytes. A
// record's position is therefore made of the offset after it, and the end of an empty log
// has a position, too.
func position(offset int64) domain.Position { return domain.Position(appendPosition(nil, offset)) }

func appendPosition(b []byte, offset int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(offset))
}

// positionSize is the length of a position in bytes.
const positionSize = 8

// parsePosition is the inverse of position.
func parsePosition(p domain.Position) (int64, error) {
	if len(p) != positionSize {
		return 0, errors.New("not a position in a topic of Kafka")
	}
	offset := binary.BigEndian.Uint64([]byte(p))
	if offset > math.MaxInt64 {
		return 0, errors.New("a position beyond all offsets")
	}
	return int64(offset), nil
}
