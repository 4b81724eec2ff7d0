package subscriber

import (
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/cloudevent"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// A Message is something that a user has sent to a system. It belongs to its handler.
type Message struct {
	System  string // the system that it was sent to
	User    string // who has sent it; the node has checked that
	Session string // the session that it was sent from, as in the target "session:…"
	// ID is the same in a repetition. The client may have chosen it, so messages of
	// different users may have the same ID: recognise repetitions by System, User and ID.
	ID   string
	Type string // the application's name for it; may be ""
	// Time is when the node took it, by the node's clock.
	Time time.Time
	// Data is one JSON value, UTF-8 text or bytes, as ContentType says, which is
	// never "".
	Data        []byte
	ContentType string
	Headers     map[string]string // the application's own; nil for none
	// Traceparent names the span that it was published in, as W3C Trace Context writes it;
	// "" for none.
	Traceparent string
	// Attempt counts how often this process has given it to the handler, from 1.
	Attempt int
}

// An Event says that something happened to a system's users. It belongs to its handler.
type Event struct {
	System  string // the system whose events it was among
	ID      string // the same in a repetition
	Type    string // such as "fanfare.user.online"
	Source  string // such as "/fanfare/chat"
	Subject string // what it is about; may be ""
	// User and Room say whom or what it is about: a user of the system; a room, if
	// User is ""; or both. They are "" if the type is none of Fanfare's.
	User, Room string
	Time       time.Time // when it happened; zero if the event does not say
	// Data is one JSON value, or nil for none. ContentType says what it is.
	Data        []byte
	ContentType string
	// Attempt counts how often this process has given it to the handler, from 1.
	Attempt int
}

// Poison is what a topic carried that cannot be decoded.
type Poison struct {
	System string
	Topic  string
	Body   []byte // as it was on the bus
	Err    error  // why it cannot be decoded
}

// A RetryError is returned by a handler that knows when it wants the message again.
type RetryError struct {
	Err   error         // why it failed; may be nil
	After time.Duration // the pause before the message comes again
}

func (e *RetryError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("try again in %v", e.After)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *RetryError) Unwrap() error { return e.Err }

// CloudEvent returns the event as [CloudEvents 1.0] in structured JSON, whose media type is
// [CloudEventMediaType].
//
// [CloudEvents 1.0]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
func (e *Event) CloudEvent() []byte {
	return cloudevent.Append(nil, &cloudevent.Event{
		ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Time: e.Time,
		ContentType: e.ContentType, Data: e.Data,
	})
}

// JSON returns the message as one line of JSON, as it is posted to webhooks: what was on the
// bus, and the system. docs/protocol.md describes it.
func (m *Message) JSON() []byte {
	text := jsontext.AppendMarshaled([]byte(`{"system":`), m.System)
	text = append(text, ',')
	said := domain.Message{
		ID: m.ID, Type: m.Type, From: m.User, Session: m.Session, Time: m.Time, Headers: m.Headers,
		ContentType: m.ContentType, Data: m.Data, Traceparent: m.Traceparent,
	}
	return append(text, envelope.Append(nil, &said)[1:]...)
}

// CloudEventMediaType is the content type of what [Event.CloudEvent] returns.
const CloudEventMediaType = cloudevent.ContentType

// decodeMessage reads what a node has put on an inbound topic.
func decodeMessage(system string, body []byte) (*Message, error) {
	m, err := envelope.Parse(body, envelope.Options{NoTo: true})
	if err != nil {
		return nil, err
	}
	if m.From == "" {
		return nil, &domain.FieldError{Path: "from", Problem: "missing: no user has sent it"}
	}
	return &Message{
		System: system, User: m.From, Session: m.Session, ID: m.ID, Type: m.Type, Time: m.Time,
		Data: m.Data, ContentType: m.ContentType, Headers: m.Headers, Traceparent: m.Traceparent,
	}, nil
}

var errForeign = errors.New("it is about another system")

// decodeEvent reads what a node has put on a topic of events. Events that others publish
// there are passed on, too.
func decodeEvent(system string, body []byte) (*Event, error) {
	c, err := cloudevent.Parse(body)
	if err != nil {
		return nil, err
	}
	e := &Event{
		System: system, ID: c.ID, Type: c.Type, Source: c.Source, Subject: c.Subject,
		Time: c.Time, Data: c.Data, ContentType: c.ContentType,
	}
	if !cloudevent.IsPresence(c) {
		return e, nil
	}
	p, err := cloudevent.ParsePresence(c.Data)
	if err != nil {
		return nil, domain.At("data", err)
	}
	if p.System != system {
		return nil, fmt.Errorf("%w: %w", domain.ErrInvalid, errForeign)
	}
	e.User, e.Room = p.User, p.Room
	return e, nil
}

// key is what events are in order for.
func (e *Event) key() string {
	switch {
	case e.User != "":
		return "user:" + e.User
	case e.Room != "":
		return "room:" + e.Room
	}
	return "subject:" + e.Subject
}
