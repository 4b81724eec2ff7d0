package jetstream

import (
	"encoding/binary"
	"errors"

	"github.com/fanfarebus/fanfare/domain"
)

// positionSize is the length of a position in bytes.
const positionSize = 8

// position makes a position of a stream sequence: its big-endian bytes, which sort as
// sequences do. Position 0 is before all messages.
func position(seq uint64) domain.Position { return domain.Position(appendPosition(nil, seq)) }

func appendPosition(b []byte, seq uint64) []byte { return binary.BigEndian.AppendUint64(b, seq) }

// parsePosition is the inverse of position.
func parsePosition(p domain.Position) (uint64, error) {
	if len(p) != positionSize {
		return 0, errors.New("not a position in a stream")
	}
	return binary.BigEndian.Uint64([]byte(p)), nil
}
