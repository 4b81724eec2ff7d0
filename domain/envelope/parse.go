package envelope

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// ErrSyntax means that input is not well-formed JSON, or that two readers could
// understand it in two ways. Errors of this package that wrap it also wrap
// [domain.ErrInvalid].
var ErrSyntax = jsontext.ErrSyntax

// A syntaxError makes an error of jsontext a domain.ErrInvalid as well.
type syntaxError struct{ error }

func (e syntaxError) Unwrap() []error { return []error{e.error, domain.ErrInvalid} }

func syntax(err error) error {
	if errors.Is(err, ErrSyntax) {
		return syntaxError{err}
	}
	return err
}

// Options say how to read an envelope. The zero Options are for entries of the
// bus: data of any size, and unknown fields are ignored, since a later version
// may have written them.
type Options struct {
	MaxData int  // size limit of the data in bytes; 0 means no limit
	Strict  bool // refuse unknown fields, for callers who can be told
	NoTo    bool // "to" may be missing, as in messages from users to the business system
}

// Parse reads an envelope. The error is an [ErrSyntax], a [domain.FieldError]
// with the field's path, or a [domain.ErrTooLarge] if the data is over MaxData.
// The message does not share memory with body.
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
	"content_type, id, time, ttl, headers, traceparent, receipt"}

// Fields collects the fields of an envelope one by one. It is for JSON objects
// that have other fields beside those of a message. It is not safe for
// concurrent use.
type Fields struct {
	Options
	m      *domain.Message  // nil before the first field
	data   domain.ValidJSON // nil if absent
	base64 []byte           // without the quotes; nil if absent
	texts  texts
}

// Take takes a field with the name and value that [jsontext.Fields] found. It
// keeps the values of "data" and "data_base64", which the caller may not change
// until it has called Message, and copies other values. It returns true for known
// if an envelope has a field of that name.
func (f *Fields) Take(name, value []byte) (known bool, err error) {
	if string(value) == "null" && string(name) != "data" {
		return isField(name), nil // null counts as absent
	}
	m := f.message()
	switch string(name) {
	case "to":
		m.To, err = f.texts.targets(value, m.To[:0])
	case "data":
		f.data = value
	case "data_base64":
		f.base64, err = text(value)
	case "id":
		m.ID, err = f.texts.read(value)
	case "type":
		m.Type, err = f.texts.read(value)
	case "content_type":
		m.ContentType, err = f.contentType(value)
	case "time":
		m.Time, err = timestamp(value)
	case "ttl":
		m.TTL, err = seconds(value)
	case "headers":
		m.Headers, err = headers(value)
	case "traceparent":
		m.Traceparent, err = f.traceparent(value)
	case "receipt":
		m.Receipt, err = boolean(value)
	case "from":
		m.From, err = f.nodeField(value)
	case "session":
		m.Session, err = f.nodeField(value)
	default:
		return false, nil
	}
	if err != nil {
		return true, domain.At(string(name), err)
	}
	return true, nil
}

// message returns the message that is being read. Its To has room for one target.
func (f *Fields) message() *domain.Message {
	if f.m == nil {
		f.m = newMessage()
	}
	return f.m
}

// newMessage returns a message whose To is empty and has room for one target. The
// two share an allocation, since most messages have one target.
func newMessage() *domain.Message {
	var m struct {
		domain.Message
		to [1]domain.Target
	}
	m.To = m.to[:0]
	return &m.Message
}

func isField(name []byte) bool {
	switch string(name) {
	case "to", "data", "data_base64", "id", "type", "content_type", "time", "ttl", "headers",
		"traceparent", "receipt", "from", "session":
		return true
	}
	return false
}

// HasData reports whether data was given, as "data" or as "data_base64".
func (f *Fields) HasData() bool { return f.data != nil || f.base64 != nil }

// traceparent reads one. A bad one is dropped unless Options.Strict says otherwise: on the
// bus, a message counts for more than the trace that it belongs to.
func (f *Fields) traceparent(value []byte) (string, error) {
	s, err := text(value)
	if err == nil {
		err = domain.CheckTraceparent(string(s))
	}
	switch {
	case err != nil && f.Strict:
		return "", err
	case err != nil:
		return "", nil
	}
	return f.texts.add(s), nil
}

// nodeField reads a field that only nodes may write.
func (f *Fields) nodeField(value []byte) (string, error) {
	if f.Strict {
		return "", &domain.FieldError{Problem: "is set by the node alone"}
	}
	return f.texts.read(value)
}

func (f *Fields) contentType(value []byte) (string, error) {
	s, err := text(value)
	switch {
	case err != nil:
		return "", err
	case string(s) == domain.JSON:
		return domain.JSON, nil
	case len(s) > domain.MaxType:
		// It would count as bytes, and the error would then be about the data.
		return "", &domain.FieldError{Problem: fmt.Sprintf("at most %d bytes", domain.MaxType)}
	}
	return f.texts.add(s), nil
}

// Message returns the message that the fields make. It does not share memory
// with the values that [Fields.Take] took. The errors are those of [Parse].
func (f *Fields) Message() (*domain.Message, error) {
	switch {
	case f.data != nil && f.base64 != nil:
		return nil, &domain.FieldError{Path: "data_base64",
			Problem: "give data or data_base64, not both"}
	case f.base64 != nil:
		if err := f.setBytes(); err != nil {
			return nil, domain.At("data_base64", err)
		}
	default:
		if err := f.setData(); err != nil {
			return nil, domain.At("data", err)
		}
	}
	return f.m, finish(f.m, f.Options)
}

// setData sets the JSON text of the data field, or, if the content type is text,
// the characters of its string.
func (f *Fields) setData() error {
	m := f.message()
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
		s, err := text(f.data)
		if err != nil {
			return err
		}
		return m.SetData(m.ContentType, bytes.Clone(s))
	}
	return &domain.FieldError{Problem: fmt.Sprintf(
		"content_type %.64q is neither JSON nor text in UTF-8: give data_base64", m.ContentType)}
}

func (f *Fields) setBytes() error {
	data, err := base64.StdEncoding.AppendDecode(nil, f.base64)
	if err != nil {
		return &domain.FieldError{Problem: "want standard base64 with padding"}
	}
	contentType := f.m.ContentType
	if contentType == "" {
		contentType = domain.Binary
	}
	return f.m.SetData(contentType, data)
}

// finish checks a message whose fields have all been read.
func finish(m *domain.Message, o Options) error {
	if len(m.To) == 0 {
		m.To = nil // and not the room for one
	}
	if o.MaxData > 0 && len(m.Data) > o.MaxData {
		return fmt.Errorf("data: %w: %d bytes, at most %d are allowed",
			domain.ErrTooLarge, len(m.Data), o.MaxData)
	}
	if o.NoTo && len(m.To) == 0 {
		check := *m
		check.To = []domain.Target{domain.Everyone}
		return check.Check()
	}
	return m.Check()
}
