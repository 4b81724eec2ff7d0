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

// decode makes an Entry of a record. Nothing of the record is copied: it is
// nobody else's. A record without a value deletes something, and is no message
// without data: its target says so, and nobody can read it.
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

// encode makes a record of a message: headers for UUID and metadata, which it
// may lack where the payload stands for itself.
func encode(m *message.Message) (kmsg.Record, error) {
	r := kmsg.Record{Value: m.Payload}
	if r.Value == nil {
		r.Value = []byte{} // no value would mean that something was deleted
	}
	if _, taken := m.Metadata[uuidHeader]; taken {
		return r, fmt.Errorf("%w: metadata %s is reserved for the UUID", domain.ErrInvalid, uuidHeader)
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
	r.Headers = append(make([]kmsg.Header, 0, 1+len(names)), kmsg.Header{Key: uuidHeader, Value: []byte(m.UUID)})
	for _, name := range names {
		r.Headers = append(r.Headers, kmsg.Header{Key: name, Value: []byte(m.Metadata[name])})
	}
	return r, nil
}

const (
	maxBatch      = 900 << 10 // of records in a batch, in bytes; brokers take about 1 MiB by default
	batchOverhead = 61        // bytes of a batch beside its records
	crcOffset     = 21        // from here on a batch is covered by its checksum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sizeOf is how large a record can become in a batch.
func sizeOf(r *kmsg.Record) int {
	const varint = 5
	size := 5*varint + len(r.Value)
	for _, h := range r.Headers {
		size += 2*varint + len(h.Key) + len(h.Value)
	}
	return size
}

// batch encodes records as one batch, with the time of now and no key.
func batch(records []kmsg.Record, now time.Time, compress kgo.Compressor) []byte {
	size := 0
	for i := range records {
		size += sizeOf(&records[i])
	}
	body := make([]byte, 0, size)
	var one []byte
	for i := range records {
		r := records[i]
		r.Length, r.OffsetDelta = 0, int32(i)
		one = r.AppendTo(one[:0])[1:] // without the length, which is not known before
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
