package kafka

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/fanfarebus/fanfare/domain"
)

// position is the place right before the record at offset, big-endian: the
// offset to continue from. So the end of an empty log has a position like any
// other place.
func position(offset int64) domain.Position {
	return domain.Position(binary.BigEndian.AppendUint64(nil, uint64(offset)))
}

// parsePosition reads what position returns.
func parsePosition(p domain.Position) (int64, error) {
	if len(p) != 8 {
		return 0, errors.New("not a position in a topic of Kafka")
	}
	offset := binary.BigEndian.Uint64([]byte(p))
	if offset > math.MaxInt64 {
		return 0, errors.New("a position beyond all offsets")
	}
	return int64(offset), nil
}
