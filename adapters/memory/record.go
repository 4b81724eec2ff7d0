package memory

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// positionSize is the length of a position: a sequence number, big endian.
const positionSize = 8

// A record is what a log keeps of a message. Nobody changes it.
type record struct {
	time   time.Time
	uuid   string
	header []domain.Field // sorted by name
	body   []byte
	size   int // about how many bytes it keeps alive
}

// pack copies what is published. The bodies share one buffer, since records
// that came together are also dropped together. What is larger than most keeps
// its size only.
func pack(records []transport.Outgoing, most int) []record {
	packed := make([]record, len(records))
	total := 0
	for i := range records {
		packed[i].size = size(records[i].Message)
		if packed[i].size <= most {
			total += len(records[i].Message.Payload)
		}
	}
	bodies := make([]byte, 0, total)
	for i := range packed {
		r, m := &packed[i], records[i].Message
		if r.size > most {
			continue
		}
		r.uuid = m.UUID
		r.header = header(m.Metadata)
		bodies, r.body = carve(bodies, m.Payload)
	}
	return packed
}

func size(m *message.Message) int {
	n := 128 + len(m.UUID) + len(m.Payload)
	for k, v := range m.Metadata {
		n += 32 + len(k) + len(v)
	}
	return n
}

func header(m message.Metadata) []domain.Field {
	if len(m) == 0 {
		return nil
	}
	fields := make([]domain.Field, 0, len(m))
	for k, v := range m {
		if k != transport.RawKey {
			fields = append(fields, domain.Field{Name: k, Value: v})
		}
	}
	slices.SortFunc(fields, func(a, b domain.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

// unpack makes entries of records that stand behind seq. The entries share
// nothing with the records that could be changed.
func unpack(records []record, seq uint64) []domain.Entry {
	bytes, fields := 0, 0
	for i := range records {
		bytes += len(records[i].body)
		fields += len(records[i].header)
	}
	var (
		entries   = make([]domain.Entry, len(records))
		positions = positions(seq, len(records))
		bodies    = make([]byte, 0, bytes)
		headers   = make([]domain.Field, 0, fields)
	)
	for i := range records {
		r, e := &records[i], &entries[i]
		e.Position = positions[i*positionSize : (i+1)*positionSize]
		e.Time = r.time
		e.UUID = r.uuid
		headers, e.Header = carve(headers, r.header)
		bodies, e.Body = carve(bodies, r.body)
	}
	return entries
}

// carve appends a copy of values to buffer, which has room for it, and returns
// the buffer and the copy. Appending to the copy cannot reach what follows it.
func carve[T any](buffer, values []T) (all, copied []T) {
	if len(values) == 0 {
		return buffer, nil
	}
	start := len(buffer)
	all = append(buffer, values...)
	return all, all[start:len(all):len(all)]
}

// position returns the place of seq.
func position(seq uint64) domain.Position { return positions(seq-1, 1) }

// positions returns the n places behind seq, one after the other.
func positions(seq uint64, n int) domain.Position {
	all := make([]byte, 0, n*positionSize)
	for i := range n {
		all = binary.BigEndian.AppendUint64(all, seq+1+uint64(i))
	}
	return domain.Position(all)
}
