// Package cloudevent reads and writes events in the JSON form of CloudEvents 1.0, which
// business services receive about their users: one event is one JSON object ("structured
// content mode" of [the specification]).
//
// # What is on the topic
//
// [Topics.Events] of a system carries such objects, for example
//
//	{"specversion":"1.0","id":"…","source":"/fanfare/chat","type":"fanfare.user.online",
//	"subject":"alice","time":"2026-01-31T12:00:00.123Z","datacontenttype":"application/json",
//	"data":{"system":"chat","user":"alice"}}
//
// [FromControl] makes an [Event] of what a node has noticed, and [ParsePresence] reads its
// data. The subject is the user, or the room for events about rooms.
//
// # Strictness
//
// [Parse] ignores attributes that it does not know: CloudEvents allows extensions, and a
// bus without a log adds its own. Input never causes a panic.
//
// [the specification]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
// [Topics.Events]: https://pkg.go.dev/github.com/fanfarebus/fanfare/domain#Topics.Events
package cloudevent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// SpecVersion is the version of CloudEvents that is written and read.
const SpecVersion = "1.0"

// ContentType is the media type of an event in the form that this package writes.
const ContentType = "application/cloudevents+json"

// MaxText is the most bytes of an attribute that [Parse] accepts.
const MaxText = 1024

// An Event is one event. ID, Source and Type are never "" in an Event that was parsed;
// ID and Source together identify it.
type Event struct {
	ID      string
	Source  string // the URI reference of what has noticed it, such as /fanfare/chat
	Type    string // such as fanfare.user.online
	Subject string // what the event is about, within the source; may be ""
	// Time is when it happened; zero if that is not said.
	Time time.Time
	// ContentType is the media type of Data. [Append] leaves it out if it is "".
	ContentType string
	// Data is one JSON value, or nil for none. [Parse] returns in it whatever bytes
	// came in data_base64; then ContentType says what they are.
	Data []byte
}

// Append appends the event to dst as one line of JSON, which [Parse] reads back as the
// same event. Data has to be valid JSON without line breaks.
func Append(dst []byte, e *Event) []byte {
	dst = append(dst, `{"specversion":"`+SpecVersion+`"`...)
	dst = appendText(dst, "id", e.ID)
	dst = appendText(dst, "source", e.Source)
	dst = appendText(dst, "type", e.Type)
	dst = appendText(dst, "subject", e.Subject)
	if !e.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = e.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	dst = appendText(dst, "datacontenttype", e.ContentType)
	if e.Data != nil {
		dst = append(dst, `,"data":`...)
		dst = append(dst, e.Data...)
	}
	return append(dst, '}')
}

// appendText appends `,"name":"value"` unless value is empty.
func appendText(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	return jsontext.AppendMarshaled(dst, value)
}

// Parse reads an event. The error wraps [domain.ErrInvalid]; it says which attribute is
// wrong. The event does not share memory with body.
func Parse(body []byte) (*Event, error) {
	var p parser
	if err := jsontext.Fields(body, p.take); err != nil {
		if errors.Is(err, domain.ErrInvalid) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", domain.ErrInvalid, err)
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return &p.e, nil
}

// A parser collects the attributes of one event.
type parser struct {
	e       Event
	version string
}

// take takes one attribute. One that is null counts as absent, as the specification says.
func (p *parser) take(name, value []byte) (err error) {
	if string(value) == "null" {
		return nil
	}
	switch string(name) {
	case "specversion":
		p.version, err = text(value)
	case "id":
		p.e.ID, err = text(value)
	case "source":
		p.e.Source, err = text(value)
	case "type":
		p.e.Type, err = text(value)
	case "subject":
		p.e.Subject, err = text(value)
	case "datacontenttype":
		p.e.ContentType, err = text(value)
	case "time":
		p.e.Time, err = timestamp(value)
	case "data":
		err = p.setData(jsontext.OneLine(value))
	case "data_base64":
		err = p.takeBase64(value)
	}
	return domain.At(string(name), err)
}

func (p *parser) takeBase64(value []byte) error {
	encoded, err := jsontext.String(value)
	if err != nil {
		return &domain.FieldError{Problem: "want a string"}
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return &domain.FieldError{Problem: "want standard base64 with padding"}
	}
	return p.setData(data)
}

func (p *parser) setData(data []byte) error {
	if p.e.Data != nil {
		return &domain.FieldError{Problem: "give data or data_base64, not both"}
	}
	p.e.Data = data
	return nil
}

// check returns what is missing, or of another version.
func (p *parser) check() error {
	if p.version != SpecVersion {
		return &domain.FieldError{Path: "specversion", Problem: `want "` + SpecVersion + `"`}
	}
	for _, required := range []struct{ name, value string }{
		{"id", p.e.ID}, {"source", p.e.Source}, {"type", p.e.Type},
	} {
		if required.value == "" {
			return &domain.FieldError{Path: required.name, Problem: "an event needs one"}
		}
	}
	return nil
}

// text reads an attribute that is a string.
func text(value []byte) (string, error) {
	s, err := jsontext.String(value)
	switch {
	case err != nil:
		return "", &domain.FieldError{Problem: "want a string"}
	case len(s) > MaxText:
		return "", &domain.FieldError{Problem: fmt.Sprintf("at most %d bytes", MaxText)}
	case !utf8.ValidString(s):
		return "", &domain.FieldError{Problem: "want UTF-8"}
	}
	return s, nil
}

func timestamp(value []byte) (time.Time, error) {
	s, err := text(value)
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || domain.CheckTime(at) != nil {
		return time.Time{}, &domain.FieldError{Problem: "want a time as RFC 3339 has it"}
	}
	return at.UTC(), nil
}
