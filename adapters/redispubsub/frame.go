package redispubsub

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// A frame carries what a bare payload cannot: a UUID and metadata. The order of its
// fields is part of the format, because a payload is recognized as a frame by
// frameStart.
type frame struct {
	UUID     string            `json:"_watermill_message_uuid"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Payload  []byte            `json:"payload"`
}

var frameStart = []byte(`{"_watermill_message_uuid":`)

// encode returns what is published for a message.
func encode(msg *message.Message) ([]byte, error) {
	if msg.Metadata[transport.RawKey] != "" {
		return msg.Payload, nil
	}
	valid := utf8.ValidString(msg.UUID)
	for name, value := range msg.Metadata {
		valid = valid && utf8.ValidString(name) && utf8.ValidString(value)
	}
	if !valid { // encoding/json would silently replace the invalid bytes
		return nil, fmt.Errorf("%w: UUID and metadata must be valid UTF-8 on this transport",
			domain.ErrInvalid)
	}
	return json.Marshal(frame{UUID: msg.UUID, Metadata: msg.Metadata, Payload: msg.Payload})
}

// decode makes an Entry of what was published. The Entry owns the payload
// afterwards.
func decode(payload []byte) domain.Entry {
	if !bytes.HasPrefix(payload, frameStart) {
		return domain.Entry{Body: payload}
	}
	f, err := parseFrame(payload)
	if err != nil {
		return domain.Entry{Body: payload}
	}
	e := domain.Entry{UUID: f.UUID, Body: f.Payload}
	for _, name := range slices.Sorted(maps.Keys(f.Metadata)) {
		e.Header = append(e.Header, domain.Field{Name: name, Value: f.Metadata[name]})
	}
	return e
}

// parseFrame reads a frame. Unlike encoding/json, it refuses fields that are there
// twice and strings with invalid Unicode: encoding/json would make the same string
// of two different invalid UUIDs.
func parseFrame(payload []byte) (f frame, err error) {
	err = jsontext.Object(payload, func(name string, value []byte) (err error) {
		switch name {
		case "_watermill_message_uuid":
			f.UUID, err = jsontext.String(value)
		case "metadata":
			f.Metadata, err = parseMetadata(value)
		case "payload":
			if string(value) == "null" {
				return nil // encoding/json writes a nil payload so
			}
			var encoded string
			if encoded, err = jsontext.String(value); err == nil {
				f.Payload, err = base64.StdEncoding.DecodeString(encoded)
			}
		}
		return err
	})
	return f, err
}

// parseMetadata reads the metadata of a frame, which may be null.
func parseMetadata(value []byte) (map[string]string, error) {
	if string(value) == "null" {
		return nil, nil
	}
	all := make(map[string]string)
	err := jsontext.Object(value, func(name string, value []byte) (err error) {
		all[name], err = jsontext.String(value)
		return err
	})
	return all, err
}
