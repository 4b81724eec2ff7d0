package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

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
	f := fields{Options: o}
	if err := jsontext.Fields(body, f.field); err != nil {
		return nil, syntax(err)
	}
	return f.message()
}

// fields collects what an envelope says.
type fields struct {
	Options
	m      domain.Message
	data   []byte // raw JSON; nil if absent
	base64 *string
}

func (f *fields) field(name, value []byte) (err error) {
	if string(value) == "null" && string(name) != "data" {
		return nil // as if it were not there
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
		if f.Strict {
			return &domain.FieldError{Path: string(name), Problem: "unknown field: use to, type, data, data_base64, content_type, id, time, ttl, headers"}
		}
	}
	if err != nil {
		return domain.At(string(name), err)
	}
	return nil
}

// stamped reads a field that nodes write, and callers may not.
func (f *fields) stamped(value []byte) (string, error) {
	if f.Strict {
		return "", &domain.FieldError{Problem: "is set by the node alone"}
	}
	return text(value)
}

func (f *fields) message() (*domain.Message, error) {
	m := &f.m
	switch {
	case f.data != nil && f.base64 != nil:
		return nil, &domain.FieldError{Path: "data_base64", Problem: "give data or data_base64, not both"}
	case f.base64 != nil:
		if err := f.binary(*f.base64); err != nil {
			return nil, domain.At("data_base64", err)
		}
	default:
		if err := f.json(); err != nil {
			return nil, domain.At("data", err)
		}
	}
	return m, finish(m, f.Options)
}

// json takes the data field as it is, or, when the content type is text, what
// the string says.
func (f *fields) json() error {
	m := &f.m
	switch {
	case f.data == nil:
		f.data = []byte("null")
	case domain.IsText(m.ContentType) && f.data[0] == '"':
		said, err := text(f.data)
		m.Data = []byte(said)
		return err
	}
	switch {
	case m.ContentType == "":
		m.ContentType = domain.JSON
	case !domain.IsJSON(m.ContentType):
		return &domain.FieldError{Problem: fmt.Sprintf("with content_type %q, data is a string for text/… types, or comes as data_base64", m.ContentType)}
	}
	m.Data = oneLine(f.data)
	return nil
}

func (f *fields) binary(encoded string) (err error) {
	m := &f.m
	if m.Data, err = base64.StdEncoding.DecodeString(encoded); err != nil {
		return &domain.FieldError{Problem: "want standard base64 with padding"}
	}
	if m.ContentType == "" {
		m.ContentType = domain.Binary
	}
	return settle(m)
}

// settle makes the data keep the promises of its content type.
func settle(m *domain.Message) error {
	switch {
	case domain.IsJSON(m.ContentType):
		if jsontext.Valid(m.Data) != nil {
			return &domain.FieldError{Problem: "is not valid JSON, though the content type says so"}
		}
		m.Data = oneLine(m.Data)
	case domain.IsText(m.ContentType):
		if !utf8.Valid(m.Data) {
			return &domain.FieldError{Problem: "is not UTF-8, though the content type says text"}
		}
	}
	return nil
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

// oneLine returns a copy of valid JSON without raw line breaks or space around
// it, so that frames can be joined by line breaks.
func oneLine(raw []byte) []byte {
	raw = bytes.TrimSpace(raw)
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, '\r') < 0 {
		return bytes.Clone(raw)
	}
	var b bytes.Buffer
	_ = json.Compact(&b, raw) // it is valid
	return b.Bytes()
}

func targets(value []byte) ([]domain.Target, error) {
	if value[0] == '"' {
		t, err := target(value)
		return []domain.Target{t}, err
	}
	if value[0] != '[' {
		return nil, &domain.FieldError{Problem: "want a target or an array of targets"}
	}
	var all []domain.Target
	err := jsontext.Array(value, func(v []byte) error {
		if len(all) == domain.MaxTargets {
			return &domain.FieldError{Problem: fmt.Sprintf("at most %d targets", domain.MaxTargets)}
		}
		t, err := target(v)
		if err != nil {
			return domain.At(fmt.Sprintf("[%d]", len(all)), err)
		}
		all = append(all, t)
		return nil
	})
	return all, err
}

func target(value []byte) (domain.Target, error) {
	name, err := text(value)
	if err != nil {
		return domain.Target{}, err
	}
	return domain.ParseTarget(name)
}

func text(value []byte) (string, error) {
	said, err := jsontext.String(value)
	switch {
	case errors.Is(err, jsontext.ErrType):
		return "", &domain.FieldError{Problem: "want a string"}
	case err != nil:
		return "", &domain.FieldError{Problem: "want a string without lone surrogates"}
	}
	return said, nil
}

func timestamp(value []byte) (time.Time, error) {
	s, err := text(value)
	if err != nil {
		return time.Time{}, err
	}
	return parseTime(s)
}

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, &domain.FieldError{Problem: "want an RFC 3339 time such as 2026-01-31T12:00:00Z"}
	}
	return t.UTC(), nil
}

func seconds(value []byte) (time.Duration, error) { return parseSeconds(string(value)) }

func parseSeconds(s string) (time.Duration, error) {
	n, err := jsontext.Int([]byte(s))
	if err != nil || n < 0 || n > int64(domain.MaxTTL/time.Second) {
		return 0, &domain.FieldError{Problem: fmt.Sprintf("want whole seconds, 0 to %d", int64(domain.MaxTTL/time.Second))}
	}
	return time.Duration(n) * time.Second, nil
}

func headers(value []byte) (map[string]string, error) {
	if value[0] != '{' {
		return nil, &domain.FieldError{Problem: "want an object of strings"}
	}
	all := make(map[string]string)
	err := jsontext.Object(value, func(name string, v []byte) error {
		said, err := text(v)
		if err != nil {
			return domain.At(name, err)
		}
		all[name] = said
		if len(all) > domain.MaxHeaders {
			return &domain.FieldError{Problem: fmt.Sprintf("at most %d", domain.MaxHeaders)}
		}
		return nil
	})
	return all, err
}
