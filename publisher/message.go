package publisher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Message is something to tell users.
type Message struct {
	// To is whom it is for, 1 to 1,000 targets: "user:alice", "room:lobby",
	// "session:…", or "*" for everyone attached to the system.
	To []string
	// Type is the application's name for what happened, such as "order.paid".
	Type string
	// Data is encoded as JSON, with these exceptions. A json.RawMessage is taken as
	// it is. A []byte without ContentType is sent as bytes. With a ContentType other
	// than JSON, Data is a []byte or a string, and its bytes are sent.
	Data any
	// ContentType is application/json if empty. That type, and all types that end in
	// +json, are JSON; text/… types are text in UTF-8; all others are bytes.
	ContentType string
	// ID tells a message from its repetition: publish again with the same ID
	// when the outcome is unknown. If it is empty, Publish makes one.
	ID string
	// Time is when it happened. The zero Time is now.
	Time time.Time
	// TTL is how long it is worth delivering, rounded up to whole seconds. 0 is
	// forever; a negative TTL is an error.
	TTL time.Duration
	// Headers are the application's own. Clients receive them.
	Headers map[string]string
	// Traceparent says which trace it belongs to, as W3C Trace Context writes it
	// (version 00). It is "" for none, or for that of the context, see Config.Tracer.
	Traceparent string
}

// message returns what goes on the bus, with an id from ids if m has none.
func (m *Message) message(ids *domain.IDs) (*domain.Message, error) {
	out := &domain.Message{
		ID: m.ID, Type: m.Type, TTL: m.TTL, Headers: m.Headers, Time: m.Time.UTC(),
		Traceparent: m.Traceparent,
	}
	if out.Time.IsZero() {
		out.Time = time.Now().UTC()
	}
	ids.Name(out)
	for i, name := range m.To {
		t, err := domain.ParseTarget(name)
		if err != nil {
			return nil, domain.At(fmt.Sprintf("to[%d]", i), err)
		}
		out.To = append(out.To, t)
	}
	if err := m.encode(out); err != nil {
		return nil, domain.At("data", err)
	}
	return out, out.Check()
}

// encode sets the data of out. The content type decides what the data must be, as
// it does for data that comes over HTTP or from clients.
func (m *Message) encode(out *domain.Message) error {
	contentType := m.ContentType
	raw, ready := m.bytes()
	switch {
	case contentType == "" && ready:
		contentType = domain.Binary
	case contentType == "":
		contentType = domain.JSON
	}
	if domain.IsJSON(contentType) {
		encoded, err := m.encodeJSON()
		if err != nil {
			return &domain.FieldError{Problem: err.Error()}
		}
		return out.SetData(contentType, encoded)
	}
	if !ready && m.Data != nil {
		return &domain.FieldError{
			Problem: fmt.Sprintf("with content type %q, want a []byte or a string", contentType)}
	}
	return out.SetData(contentType, raw)
}

// bytes returns the data if it is sent without being encoded.
func (m *Message) bytes() (raw []byte, ok bool) {
	switch data := m.Data.(type) {
	case []byte:
		return data, true
	case string:
		return []byte(data), m.ContentType != "" && !domain.IsJSON(m.ContentType)
	}
	return nil, false
}

// encodeJSON returns the data if it was given as JSON, else what encoding/json
// makes of it.
func (m *Message) encodeJSON() ([]byte, error) {
	switch data := m.Data.(type) {
	case []byte:
		if data != nil {
			return data, nil
		}
	case json.RawMessage:
		if data != nil {
			return data, nil
		}
	}
	encoded, err := json.Marshal(m.Data)
	return bytes.ToValidUTF8(encoded, []byte("\uFFFD")), err
}
