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

// A record is what a log keeps of a message. It is not changed once it is in the
// log.
type record struct {
	time   time.Time // when the log took it
	uuid   string
	header []domain.Field // sorted by name
	body   []byte
	size   int // estimate of the bytes that it keeps alive
}

// pack makes records of copies of what is published. The bodies share one
// buffer, since records that are published together are mostly dropped together.
// A record that is larger than limit has only a size, for the log to refuse it.
func pack(records []transport.Outgoing, limit int) []record {
	packed := make([]record, len(records))
	total := 0
	for i := range records {
		packed[i].size = size(records[i].Message)
		if packed[i].size <= limit {
			total += len(records[i].Message.Payload)
		}
	}
	bodies := make([]byte, 0, total)
	for i := range packed {
		r, m := &packed[i], records[i].Message
		if r.size > limit {
			continue
		}
		r.uuid = m.UUID
		r.header = header(m.Metadata)
		bodies, r.body = carve(bodies, m.Payload)
	}
	return packed
}

// recordSize is about what a record takes beside what it refers to: its slot, and
// the part of the ring that is free.
const recordSize = 144

func size(m *message.Message) int {
	n := recordSize + len(m.UUID) + len(m.Payload)
	for name, value := range m.Metadata {
		n += 32 + len(name) + len(value)
	}
	return n
}

func header(m message.Metadata) []domain.Field {
	if len(m) == 0 || len(m) == 1 && m[transport.RawKey] != "" {
		return nil
	}
	fields := make([]domain.Field, 0, len(m))
	for name, value := range m {
		if name != transport.RawKey {
			fields = append(fields, domain.Field{Name: name, Value: value})
		}
	}
	slices.SortFunc(fields, func(a, b domain.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

// unpack makes entries of the records that follow seq. The entries are the
// reader's: it can change them without changing the records.
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

// carve appends a copy of values to buffer, which must have room for it, and
// returns the buffer and the copy. The copy's capacity is its length, so that
// appending to it does not overwrite what follows it in the buffer.
func carve[T any](buffer, values []T) (all, copied []T) {
	if len(values) == 0 {
		return buffer, nil
	}
	start := len(buffer)
	all = append(buffer, values...)
	return all, all[start:len(all):len(all)]
}

// position returns the position of the record with a sequence number.
func position(seq uint64) domain.Position { return positions(seq-1, 1) }

// positions returns the positions of the n records that follow seq, joined.
func positions(seq uint64, n int) domain.Position {
	all := make([]byte, 0, n*positionSize)
	for i := range n {
		all = binary.BigEndian.AppendUint64(all, seq+1+uint64(i))
	}
	return domain.Position(all)
}
