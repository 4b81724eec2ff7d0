package fanfare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// Errors that Publish's wrap. They are the domain's.
var (
	ErrInvalid  = domain.ErrInvalid  // a rule is broken; the text says which and where
	ErrTooLarge = domain.ErrTooLarge // a message's data is over the limit
	ErrBusDown  = domain.ErrBusDown  // no answer in time: publish again, with the same ids
	ErrLimit    = domain.ErrLimit    // too many publishes are waiting
)

// A Message is something to tell users.
type Message struct {
	// To is whom it is for, 1 to 1,000 targets: "user:alice", "room:lobby",
	// "session:…", or "*" for everyone attached to the system.
	To []string
	// Type is the application's name for what happened, such as "order.paid".
	Type string
	// Data is encoded as JSON, except that a json.RawMessage is taken as it is,
	// and with a ContentType other than JSON a []byte or string is sent as
	// these bytes. A []byte without ContentType is sent as bytes, too.
	Data any
	// ContentType is application/json if empty. JSON types are this and all that
	// end in +json; text/… types are text, which is UTF-8; all else is bytes.
	ContentType string
	// ID tells a message from its repetition: publish again with the same ID
	// when the outcome is unknown. Empty: Publish makes one.
	ID string
	// Time is when it happened; zero is now.
	Time time.Time
	// TTL is how long it is worth delivering, rounded up to whole seconds; 0 is
	// always, and less is an error.
	TTL time.Duration
	// Headers are the application's own, and go to the clients.
	Headers map[string]string
}

// A Publisher sends messages to systems. It is safe for concurrent use:
// concurrent calls share one pipeline.
type Publisher struct {
	out   domain.Publisher
	ids   domain.IDs
	close func() error
}

// NewPublisher opens the bus at a URL, for services that publish and hold no
// sessions. Topic is the template of topic names, as in the nodes' settings;
// empty is the default, fanfare.{system}.
func NewPublisher(ctx context.Context, url, topic string, opts ...Option) (*Publisher, error) {
	cfg := Config{Transport: url, Topic: topic}.withDefaults()
	topics, err := domain.ParseTopics(cfg.Topic)
	if err != nil {
		return nil, err
	}
	o := newOptions(opts)
	o.publishOnly = true
	bus, _, err := openBus(ctx, cfg, o)
	if err != nil {
		return nil, err
	}
	return &Publisher{out: transport.NewEnvelopePublisher(bus, topics, 0), close: bus.Close}, nil
}

// Publish sends messages of a system, in order, and returns their ids once the
// bus has taken all of them. It tries once, and not longer than the publish
// timeout (800 ms). On failure it says how many were accepted, counted from
// the first (errors.As with *domain.PublishError); of the others the outcome
// is unknown, so publish them again under the same ids.
func (p *Publisher) Publish(ctx context.Context, system string, msgs ...Message) (ids []string, err error) {
	s, err := domain.ParseSystem(system)
	if err != nil {
		return nil, domain.At("system", err)
	}
	all := make([]*domain.Message, len(msgs))
	ids = make([]string, len(msgs))
	for i := range msgs {
		if all[i], err = msgs[i].message(&p.ids); err != nil {
			return nil, domain.At(fmt.Sprintf("[%d]", i), err)
		}
		ids[i] = all[i].ID
	}
	return ids, p.out.Publish(ctx, s, all...)
}

// Close lets go of the bus.
func (p *Publisher) Close() error { return p.close() }

func (m *Message) message(ids *domain.IDs) (*domain.Message, error) {
	out := &domain.Message{
		ID: m.ID, Type: m.Type, TTL: m.TTL, Headers: m.Headers, Time: m.Time.UTC(),
	}
	if out.Time.IsZero() {
		out.Time = time.Now().UTC()
	}
	if out.ID == "" {
		out.ID = ids.Next()
	}
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

// encode sets the data of out, by the rule of all data: a content type says what
// it has to be.
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

// bytes returns data that is not to be encoded.
func (m *Message) bytes() (raw []byte, ok bool) {
	switch data := m.Data.(type) {
	case []byte:
		return data, true
	case string:
		return []byte(data), m.ContentType != "" && !domain.IsJSON(m.ContentType)
	}
	return nil, false
}

// encodeJSON returns JSON that was given as such, or else what encoding/json
// makes of the data.
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
