package envelope

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// ErrSyntax marks input that is not well-formed JSON, or that could be read in
// two ways. It comes with domain.ErrInvalid.
var ErrSyntax = jsontext.ErrSyntax

// A syntaxError is what jsontext says, as a domain.ErrInvalid.
type syntaxError struct{ error }

func (e syntaxError) Unwrap() []error { return []error{e.error, domain.ErrInvalid} }

func syntax(err error) error {
	if errors.Is(err, ErrSyntax) {
		return syntaxError{err}
	}
	return err
}

// Options say how to read an envelope. The zero Options read what the bus
// carries: any size, fields of the future ignored.
type Options struct {
	MaxData int  // largest data in bytes, else domain.ErrTooLarge; 0 means any
	Strict  bool // refuse unknown fields, for callers who can be told
	NoTo    bool // "to" may be missing, as in what users send inbound
}

// Parse reads the JSON form. What is wrong comes as ErrSyntax, as a
// domain.FieldError with the field's path, or as domain.ErrTooLarge. The
// message does not share memory with body.
func Parse(body []byte, o Options) (*domain.Message, error) {
	f := Fields{Options: o}
	err := jsontext.Fields(body, func(name, value []byte) error {
		known, err := f.Take(name, value)
		if !known && o.Strict {
			return domain.At(string(name), errUnknown)
		}
		return err
	})
	if err != nil {
		return nil, syntax(err)
	}
	return f.Message()
}

var errUnknown = &domain.FieldError{Problem: "unknown field: use to, type, data, data_base64, " +
	"content_type, id, time, ttl, headers"}

// Fields collects what an envelope says, field by field, for texts that have
// other fields as well.
type Fields struct {
	Options
	m      domain.Message
	data   domain.ValidJSON // nil if absent
	base64 *string
}

// Take takes a field as jsontext found it. It keeps data, and copies the rest.
// Known says whether it is a field of an envelope.
func (f *Fields) Take(name, value []byte) (known bool, err error) {
	if string(value) == "null" && string(name) != "data" {
		return isField(name), nil // as if it were not there
	}
	switch string(name) {
	case "to":
		f.m.To, err = targets(value)
	case "data":
		f.data = value
	case "data_base64":
		var s string
		s, err = text(value)
		f.base64 = &s
	case "id":
		f.m.ID, err = text(value)
	case "type":
		f.m.Type, err = text(value)
	case "content_type":
		f.m.ContentType, err = text(value)
		if err == nil && len(f.m.ContentType) > domain.MaxType { // before it says what data is
			err = &domain.FieldError{Problem: fmt.Sprintf("at most %d bytes", domain.MaxType)}
		}
	case "time":
		f.m.Time, err = timestamp(value)
	case "ttl":
		f.m.TTL, err = seconds(value)
	case "headers":
		f.m.Headers, err = headers(value)
	case "from":
		f.m.From, err = f.stamped(value)
	case "session":
		f.m.Session, err = f.stamped(value)
	default:
		return false, nil
	}
	if err != nil {
		return true, domain.At(string(name), err)
	}
	return true, nil
}

func isField(name []byte) bool {
	switch string(name) {
	case "to", "data", "data_base64", "id", "type", "content_type", "time", "ttl", "headers",
		"from", "session":
		return true
	}
	return false
}

// HasData says whether data was given, in either form.
func (f *Fields) HasData() bool { return f.data != nil || f.base64 != nil }

// stamped reads a field that nodes write, and callers may not.
func (f *Fields) stamped(value []byte) (string, error) {
	if f.Strict {
		return "", &domain.FieldError{Problem: "is set by the node alone"}
	}
	return text(value)
}

// Message returns the message that the fields make.
func (f *Fields) Message() (*domain.Message, error) {
	m := &f.m
	switch {
	case f.data != nil && f.base64 != nil:
		return nil, &domain.FieldError{Path: "data_base64", Problem: "give data or data_base64, not both"}
	case f.base64 != nil:
		if err := f.setBytes(*f.base64); err != nil {
			return nil, domain.At("data_base64", err)
		}
	default:
		if err := f.setData(); err != nil {
			return nil, domain.At("data", err)
		}
	}
	whole := *m // f keeps the envelope alive
	return &whole, finish(&whole, f.Options)
}

// setData takes the data field as it is, or, when the content type is text, what
// the string says.
func (f *Fields) setData() error {
	m := &f.m
	if f.data == nil {
		f.data = domain.ValidJSON("null")
	}
	if m.ContentType == "" {
		m.ContentType = domain.JSON
	}
	switch domain.FormOf(m.ContentType) {
	case domain.JSONForm:
		return m.SetJSON(m.ContentType, f.data)
	case domain.TextForm:
		said, err := text(f.data)
		if err != nil {
			return err
		}
		return m.SetData(m.ContentType, []byte(said))
	}
	return &domain.FieldError{Problem: fmt.Sprintf(
		"content_type %.64q is neither JSON nor text in UTF-8: give data_base64", m.ContentType)}
}

func (f *Fields) setBytes(encoded string) error {
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return &domain.FieldError{Problem: "want standard base64 with padding"}
	}
	contentType := f.m.ContentType
	if contentType == "" {
		contentType = domain.Binary
	}
	return f.m.SetData(contentType, data)
}

func finish(m *domain.Message, o Options) error {
	if o.MaxData > 0 && len(m.Data) > o.MaxData {
		return fmt.Errorf("data: %w: %d bytes, at most %d are allowed", domain.ErrTooLarge, len(m.Data), o.MaxData)
	}
	if o.NoTo && len(m.To) == 0 {
		check := *m
		check.To = []domain.Target{domain.Everyone}
		return check.Check()
	}
	return m.Check()
}
