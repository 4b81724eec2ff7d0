package domain

import (
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// SetData sets the message's data and content type. It checks that data is what
// the content type promises: one JSON value for JSON types, UTF-8 for text. It
// puts JSON on one line. The message keeps a copy of JSON, and any other data
// itself, which must not be changed from then on. The error is a [FieldError]
// without a path.
func (m *Message) SetData(contentType string, data []byte) error {
	form := FormOf(contentType)
	switch form {
	case JSONForm:
		if err := jsontext.Valid(data); err != nil {
			return invalid("", "is not what the content type %s says: %v", clip(contentType), err)
		}
		data = jsontext.OneLine(data)
	case TextForm:
		if !utf8.Valid(data) {
			return invalid("", "is not UTF-8, though the content type is text")
		}
	}
	m.setData(contentType, form, data)
	return nil
}

// SetJSON does what [Message.SetData] does for JSON that is already known to be
// valid, and does not validate it again. The content type must be a JSON type. The
// message keeps a copy of value.
func (m *Message) SetJSON(contentType string, value ValidJSON) error {
	if FormOf(contentType) != JSONForm {
		return invalid("", "content type %q is no JSON type", clip(contentType))
	}
	m.setData(contentType, JSONForm, jsontext.OneLine(value))
	return nil
}

// ValidJSON is the text of one JSON value that a function of [jsontext] has
// validated. Code that converts to it vouches for that.
type ValidJSON []byte

func (m *Message) setData(contentType string, form Form, data []byte) {
	m.ContentType, m.Data = contentType, data
	m.checked = checkedData{form: form, size: len(data)}
	if len(data) > 0 {
		m.checked.first = &data[0]
	}
}

// Form returns how the message's data may be written. Encoders must ask Form
// and not the content type: if the data is not what its type promises, Form is
// [Bytes]. So unchecked data is never written into JSON verbatim, no matter who
// made the message, or how.
func (m *Message) Form() Form {
	form := FormOf(m.ContentType)
	if form == Bytes || m.checked.covers(form, m.Data) || hasForm(form, m.Data) {
		return form
	}
	return Bytes
}

// hasForm reports whether data is what the form promises.
func hasForm(form Form, data []byte) bool {
	switch form {
	case JSONForm:
		return jsontext.Valid(data) == nil && !jsontext.HasLineBreak(data)
	case TextForm:
		return utf8.Valid(data)
	}
	return true
}

// checkedData remembers which slice was checked, and for which form, so that
// each encoder need not check it again. Any other slice has to be checked anew.
type checkedData struct {
	first *byte // the slice's first byte, nil if it was empty
	size  int   // in bytes
	form  Form
}

// covers reports whether data is the very slice that was checked for the form.
func (c checkedData) covers(form Form, data []byte) bool {
	return len(data) > 0 && c.first == &data[0] && c.size == len(data) && c.form == form
}

// Checked reports whether it is known, without looking at the data, that they
// have the form that the content type promises.
func (m *Message) Checked() bool {
	form := FormOf(m.ContentType)
	return form == Bytes || m.checked.covers(form, m.Data)
}

// SetChecked sets data that another Message had with the same content type, and
// of which [Message.Checked] was true. It checks nothing and copies nothing: code
// that calls it vouches for that.
func (m *Message) SetChecked(contentType string, data []byte) {
	m.setData(contentType, FormOf(contentType), data)
}
