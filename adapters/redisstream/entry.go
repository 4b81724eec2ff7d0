package redisstream

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	stock "github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/vmihailenco/msgpack"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// The fields of an entry that the stock publisher of watermill-redisstream writes.
const (
	uuidField     = stock.UUIDHeaderKey
	metadataField = "metadata"
	payloadField  = "payload"
)

// A field is one field of a stream's entry.
type field struct {
	name  string
	value []byte
}

// decode makes an Entry of the fields of a stream's entry. It copies their values into
// the arena, so the caller may overwrite them afterwards. An entry that cannot be decoded, or
// that could be decoded in two ways, becomes an unreadable one.
func (a *arena) decode(fields []field) domain.Entry {
	if slices.ContainsFunc(fields, func(f field) bool { return f.name == uuidField }) {
		return a.decodeStock(fields)
	}
	return a.decodeByHand(fields)
}

// decodeByHand decodes an entry that somebody has added by hand: one of the fields is
// the body, the others are the header.
func (a *arena) decodeByHand(fields []field) domain.Entry {
	body := bodyIndex(fields)
	if body >= 0 && isRepeated(fields, fields[body].name) {
		return a.unreadable(fields, "the field "+fields[body].name+" is there twice")
	}
	var e domain.Entry
	if body < 0 {
		e.Header = a.header(len(fields))
	} else {
		e.Header = a.header(len(fields) - 1)
	}
	for i, f := range fields {
		if i == body {
			e.Body = a.body(f.value)
			continue
		}
		e.Header = append(e.Header, domain.Field{Name: f.name, Value: a.text(f.value)})
	}
	return e
}

// decodeStock decodes an entry that the stock publisher, or this driver, has written.
func (a *arena) decodeStock(fields []field) domain.Entry {
	for _, name := range []string{uuidField, payloadField, metadataField} {
		if isRepeated(fields, name) {
			return a.unreadable(fields, "the field "+name+" is there twice")
		}
	}
	var e domain.Entry
	for _, f := range fields {
		switch f.name {
		case uuidField:
			e.UUID = a.text(f.value)
		case payloadField:
			e.Body = a.body(f.value)
		case metadataField:
			m, err := decodeMetadata(f.value)
			if err != nil {
				return a.unreadable(fields, "the field metadata cannot be decoded")
			}
			e.Header = headerOf(m)
		}
	}
	return e
}

// decodeMetadata decodes the metadata field, a map in msgpack. It refuses a map that
// has a name twice: this decoder would take the last value, and another the first.
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
	for range n { // n is -1 for nil
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

// isRepeated reports whether more than one field has this name.
func isRepeated(fields []field, name string) bool {
	n := 0
	for _, f := range fields {
		if f.name == name {
			n++
		}
	}
	return n > 1
}

// unreadable returns an Entry that nobody takes for a message, neither here nor where
// it may be copied to: it has no body, and its header names as target, in the field
// to, the reason in parentheses. The header has the other fields as well.
func (a *arena) unreadable(fields []field, why string) domain.Entry {
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

// bodyIndex returns the index of the field that is the body, -1 if none is.
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

// headerOf returns metadata as a header, sorted by name.
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

// encodeMetadata returns the metadata field of a message. It leaves out
// [transport.RawKey], which no driver sends. It has no other effect here: an entry
// has a field for each part of a message, so there is no frame to do without.
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
