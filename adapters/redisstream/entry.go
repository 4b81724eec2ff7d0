package redisstream

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/vmihailenco/msgpack"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	uuidField     = redisstream.UUIDHeaderKey
	metadataField = "metadata"
	payloadField  = "payload"
)

// A field is one field of a stream's entry.
type field struct {
	name  string
	value []byte
}

// decode makes an Entry of an entry's fields; their values are only lent. What
// it cannot decode becomes an Entry without a body that has all fields in its
// header.
func decode(fields []field) domain.Entry {
	if slices.ContainsFunc(fields, func(f field) bool { return f.name == uuidField }) {
		return decodeStock(fields)
	}
	body := bodyOf(fields)
	e := domain.Entry{}
	for i, f := range fields {
		if i == body {
			e.Body = bytes.Clone(f.value)
			continue
		}
		e.Header = append(e.Header, domain.Field{Name: f.name, Value: string(f.value)})
	}
	return e
}

// decodeStock reads what the stock publisher writes.
func decodeStock(fields []field) domain.Entry {
	var e domain.Entry
	for _, f := range fields {
		switch f.name {
		case uuidField:
			e.UUID = string(f.value)
		case payloadField:
			e.Body = bytes.Clone(f.value)
		case metadataField:
			if len(f.value) == 0 {
				continue
			}
			var m map[string]string
			if err := msgpack.Unmarshal(f.value, &m); err != nil {
				return undecodable(fields)
			}
			e.Header = header(m)
		}
	}
	return e
}

func undecodable(fields []field) domain.Entry {
	e := domain.Entry{Header: make([]domain.Field, len(fields))}
	for i, f := range fields {
		e.Header[i] = domain.Field{Name: f.name, Value: string(f.value)}
	}
	return e
}

// bodyOf returns which of the fields is the body, -1 if none is.
func bodyOf(fields []field) int {
	index := func(name string) int {
		return slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	}
	for _, name := range []string{"data", payloadField} {
		if i := index(name); i >= 0 {
			return i
		}
	}
	if index("to") < 0 {
		return index("message")
	}
	return -1
}

func header(metadata map[string]string) []domain.Field {
	h := make([]domain.Field, 0, len(metadata))
	for k, v := range metadata {
		h = append(h, domain.Field{Name: k, Value: v})
	}
	slices.SortFunc(h, func(a, b domain.Field) int { return cmp.Compare(a.Name, b.Name) })
	return h
}

// encodeMetadata is the metadata field of a message. RawKey is dropped: the
// format holds everything anyway.
func encodeMetadata(m message.Metadata) ([]byte, error) {
	if m.Get(uuidField) != "" {
		return nil, fmt.Errorf("%w: metadata %s is reserved for the UUID", domain.ErrInvalid, uuidField)
	}
	if m.Get(transport.RawKey) != "" {
		m = maps.Clone(m)
		delete(m, transport.RawKey)
	}
	if len(m) == 0 {
		return nil, nil
	}
	return msgpack.Marshal(m)
}
