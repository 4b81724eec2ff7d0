package redispubsub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A frame carries what a bare payload cannot. The order of its fields is part
// of the format: frameStart must come first.
type frame struct {
	UUID     string            `json:"_watermill_message_uuid"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Payload  []byte            `json:"payload"`
}

var frameStart = []byte(`{"_watermill_message_uuid":`)

func encode(msg *message.Message) ([]byte, error) {
	if msg.Metadata[transport.RawKey] != "" {
		return msg.Payload, nil
	}
	valid := utf8.ValidString(msg.UUID)
	for k, v := range msg.Metadata {
		valid = valid && utf8.ValidString(k) && utf8.ValidString(v)
	}
	if !valid { // JSON would replace what is not, silently
		return nil, fmt.Errorf("%w: UUID and metadata must be valid UTF-8 on this transport", domain.ErrInvalid)
	}
	return json.Marshal(frame{UUID: msg.UUID, Metadata: msg.Metadata, Payload: msg.Payload})
}

// decode takes the payload over.
func decode(payload []byte) domain.Entry {
	var f frame
	if !bytes.HasPrefix(payload, frameStart) || json.Unmarshal(payload, &f) != nil {
		return domain.Entry{Body: payload}
	}
	e := domain.Entry{UUID: f.UUID, Body: f.Payload}
	for _, k := range slices.Sorted(maps.Keys(f.Metadata)) {
		e.Header = append(e.Header, domain.Field{Name: k, Value: f.Metadata[k]})
	}
	return e
}
