package kafka

import (
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// uuidHeader holds a message's UUID, as in what watermill-kafka writes.
const uuidHeader = "_watermill_message_uuid"

// decode makes an entry of a record. It copies nothing: the record belongs to nobody else.
//
// A record without a value is a tombstone, which deletes, and no message without data.
// decode puts a text that is no target into its header "to", so that nobody takes it for a
// message.
func decode(r *kgo.Record) domain.Entry {
	e := domain.Entry{Position: position(r.Offset + 1), Time: r.Timestamp.UTC(), Body: r.Value}
	named := false
	for _, h := range r.Headers {
		if h.Key == uuidHeader && !named {
			e.UUID, named = string(h.Value), true
			continue
		}
		value := string(h.Value)
		if h.Key == "to" && r.Value == nil {
			value = "(the record has no value)"
		}
		e.Header = append(e.Header, domain.Field{Name: h.Key, Value: value})
	}
	return e
}

// encode makes a record of a message, with headers for the UUID and the metadata. A message
// with transport.RawKey and no other metadata becomes its bare payload.
func encode(m *message.Message) (kmsg.Record, error) {
	r := kmsg.Record{Value: m.Payload}
	if r.Value == nil {
		r.Value = []byte{} // no value would make it a tombstone
	}
	if _, taken := m.Metadata[uuidHeader]; taken {
		return r, fmt.Errorf("%w: metadata %s is reserved for the UUID",
			domain.ErrInvalid, uuidHeader)
	}
	names := make([]string, 0, len(m.Metadata))
	for name := range m.Metadata {
		if name != transport.RawKey {
			names = append(names, name)
		}
	}
	if m.Metadata.Get(transport.RawKey) != "" && len(names) == 0 {
		return r, nil
	}
	slices.Sort(names)
	r.Headers = make([]kmsg.Header, 0, 1+len(names))
	r.Headers = append(r.Headers, kmsg.Header{Key: uuidHeader, Value: []byte(m.UUID)})
	for _, name := range names {
		r.Headers = append(r.Headers, kmsg.Header{Key: name, Value: []byte(m.Metadata[name])})
	}
	return r, nil
}

const (
	maxBatch      = 900 << 10 // of a batch's records, in bytes; brokers take about 1 MiB by default
	batchOverhead = 61        // of a batch beside its records, in bytes
	crcOffset     = 21        // of the first byte of a batch that its checksum covers
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sizeOf is the most bytes that a record takes in a batch.
func sizeOf(r *kmsg.Record) int {
	const varint = 5
	size := 5*varint + len(r.Value)
	for _, h := range r.Headers {
		size += 2*varint + len(h.Key) + len(h.Value)
	}
	return size
}

// encodeBatch encodes records as one record batch of version 2, with the same time and
// without keys.
func encodeBatch(records []kmsg.Record, now time.Time, compress kgo.Compressor) []byte {
	size := 0
	for i := range records {
		size += sizeOf(&records[i])
	}
	body := make([]byte, 0, size)
	var one []byte
	for i := range records {
		r := records[i]
		r.Length, r.OffsetDelta = 0, int32(i)
		one = r.AppendTo(one[:0])[1:] // without the length 0, which is written below
		body = kbin.AppendVarint(body, int32(len(one)))
		body = append(body, one...)
	}
	attributes := int16(0)
	if compress != nil {
		var codec kgo.CompressionCodecType
		body, codec = compressIfSmaller(compress, body)
		attributes = int16(codec)
	}
	b := kmsg.RecordBatch{
		Length: int32(len(body) + batchOverhead - 12), PartitionLeaderEpoch: -1, Magic: 2,
		Attributes: attributes, LastOffsetDelta: int32(len(records) - 1),
		FirstTimestamp: now.UnixMilli(), MaxTimestamp: now.UnixMilli(),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(len(records)), Records: body,
	}
	encoded := b.AppendTo(make([]byte, 0, len(body)+batchOverhead))
	sum := crc32.Checksum(encoded[crcOffset:], castagnoli)
	copy(encoded[crcOffset-4:], kbin.AppendUint32(nil, sum))
	return encoded
}
