package domain

import (
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// SetData gives the message its data, if this is what the content type says:
// one JSON value for JSON types, UTF-8 for text. JSON is put on one line. The
// message keeps data, or a copy, which nobody may change from then on. The
// error is a FieldError without a path.
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

// SetJSON is SetData for one value of a larger text that was read: it need not
// be read again. The content type must be a JSON type.
func (m *Message) SetJSON(contentType string, value ValidJSON) error {
	if FormOf(contentType) != JSONForm {
		return invalid("", "content type %q is no JSON type", clip(contentType))
	}
	m.setData(contentType, JSONForm, jsontext.OneLine(value))
	return nil
}

// ValidJSON is the text of one value, as a function of jsontext handed it to its
// caller. Who converts to it vouches for that.
type ValidJSON []byte

func (m *Message) setData(contentType string, form Form, data []byte) {
	m.ContentType, m.Data = contentType, data
	m.proof = proof{form: form, size: len(data)}
	if len(data) > 0 {
		m.proof.first = &data[0]
	}
}

// Form is how the message's data may be written. What writes data asks Form,
// and not the content type: where the data breaks the promise of its type, it
// is Bytes. So nothing is written as it is that was not checked, whoever made
// the message, and however.
func (m *Message) Form() Form {
	form := FormOf(m.ContentType)
	if form == Bytes || m.proof.holds(form, m.Data) || keeps(form, m.Data) {
		return form
	}
	return Bytes
}

// keeps says whether data is what the form promises.
func keeps(form Form, data []byte) bool {
	switch form {
	case JSONForm:
		return jsontext.Valid(data) == nil && !jsontext.HasLineBreak(data)
	case TextForm:
		return utf8.Valid(data)
	}
	return true
}

// A proof remembers which bytes were checked, and for which form, so that they
// are not read again by each writer. It proves nothing of other bytes.
type proof struct {
	first *byte
	size  int
	form  Form
}

func (p proof) holds(form Form, data []byte) bool {
	return len(data) > 0 && p.first == &data[0] && p.size == len(data) && p.form == form
}
