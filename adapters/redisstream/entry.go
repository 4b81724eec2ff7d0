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
// it cannot decode, or could decode in two ways, becomes one that is unreadable.
func decode(fields []field) domain.Entry {
	if slices.ContainsFunc(fields, func(f field) bool { return f.name == uuidField }) {
		return decodeStock(fields)
	}
	body := bodyIndex(fields)
	if body >= 0 && isRepeated(fields, fields[body].name) {
		return unreadable(fields, "the field "+fields[body].name+" is there twice")
	}
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
	for _, name := range []string{uuidField, payloadField, metadataField} {
		if isRepeated(fields, name) {
			return unreadable(fields, "the field "+name+" is there twice")
		}
	}
	var e domain.Entry
	for _, f := range fields {
		switch f.name {
		case uuidField:
			e.UUID = string(f.value)
		case payloadField:
			e.Body = bytes.Clone(f.value)
		case metadataField:
			m, err := decodeMetadata(f.value)
			if err != nil {
				return unreadable(fields, "the field metadata cannot be decoded")
			}
			e.Header = headerOf(m)
		}
	}
	return e
}

// decodeMetadata refuses names that are there twice: the last one would win here,
// and perhaps the first one elsewhere.
func decodeMetadata(value []byte) (map[string]string, error) {
	if len(value) == 0 {
		return nil, nil
	}
	d := msgpack.NewDecoder(bytes.NewReader(value))
	n, err := d.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	m := make(map[string]string)
	for range n { // -1 for nil
		name, err := d.DecodeString()
		if err != nil {
			return nil, err
		}
		if _, again := m[name]; again {
			return nil, fmt.Errorf("%w: metadata %.64q is there twice", domain.ErrInvalid, name)
		}
		if m[name], err = d.DecodeString(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func isRepeated(fields []field, name string) bool {
	n := 0
	for _, f := range fields {
		if f.name == name {
			n++
		}
	}
	return n > 1
}

// unreadable is an Entry that has no body, and all fields in its header, but where
// a target should be it says why. So nobody takes it for a message, here or where
// it is copied to.
func unreadable(fields []field, why string) domain.Entry {
	e := domain.Entry{Header: []domain.Field{{Name: "to", Value: "(" + why + ")"}}}
	for _, f := range fields {
		switch f.name {
		case "to":
		case uuidField:
			e.UUID = string(f.value)
		default:
			e.Header = append(e.Header, domain.Field{Name: f.name, Value: string(f.value)})
		}
	}
	return e
}

// bodyIndex returns which of the fields is the body, -1 if none is.
func bodyIndex(fields []field) int {
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

func headerOf(metadata map[string]string) []domain.Field {
	if len(metadata) == 0 {
		return nil
	}
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
