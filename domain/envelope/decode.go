package envelope

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// Rules say how a system's entries are to be read.
type Rules struct {
	// UserField, if set, adopts a channel that others fill: each entry is any
	// JSON object, this field of it names the user, and the whole object is
	// the data.
	UserField string
	// MaxData is the largest data in bytes; 0 means any.
	MaxData int
}

// Decode reads what the bus carried, in whichever form it is. The message
// does not share memory with the entry.
func Decode(e *domain.Entry, r Rules) (*domain.Message, error) {
	if r.UserField != "" {
		return adopt(e.Body, r)
	}
	for _, h := range e.Header {
		if h.Name == "to" {
			return fromHeader(e, r)
		}
	}
	m, err := Parse(e.Body, Options{MaxData: r.MaxData})
	if err != nil {
		return nil, err
	}
	if m.ID == "" {
		m.ID = e.UUID
	}
	return m, nil
}

// fromHeader reads the form whose body is the data, verbatim.
func fromHeader(e *domain.Entry, r Rules) (*domain.Message, error) {
	m := &domain.Message{ID: e.UUID}
	body := e.Body
	for _, h := range e.Header {
		var err error
		switch h.Name {
		case "to":
			m.To, err = headerTargets(h.Value)
		case "id":
			m.ID = h.Value
		case "type":
			m.Type = h.Value
		case "content_type":
			m.ContentType = h.Value
		case "time":
			m.Time, err = parseTime(h.Value)
		case "ttl":
			m.TTL, err = parseSeconds(h.Value)
		case "from":
			m.From = h.Value
		case "session":
			m.Session = h.Value
		case "data_base64":
			if len(body) > 0 {
				err = &domain.FieldError{Problem: "give data or data_base64, not both"}
				break
			}
			if body, err = base64.StdEncoding.DecodeString(h.Value); err != nil {
				err = &domain.FieldError{Problem: "want standard base64 with padding"}
			}
		}
		if err != nil {
			return nil, domain.At(h.Name, err)
		}
	}
	m.Data = bytes.Clone(body)
	if m.ContentType == "" {
		m.ContentType = sniff(m)
	}
	if err := settle(m); err != nil {
		return nil, domain.At("data", err)
	}
	return m, finish(m, Options{MaxData: r.MaxData})
}

// headerTargets reads one target, or a JSON array of them.
func headerTargets(s string) ([]domain.Target, error) {
	if len(s) == 0 || s[0] != '[' {
		t, err := domain.ParseTarget(s)
		return []domain.Target{t}, err
	}
	if jsontext.Valid([]byte(s)) != nil {
		return nil, &domain.FieldError{Problem: "want a target or a JSON array of targets"}
	}
	return targets([]byte(s))
}

// sniff says what data is that came without a content type.
func sniff(m *domain.Message) string {
	switch {
	case len(m.Data) == 0:
		m.Data = []byte("null")
		return domain.JSON
	case jsontext.Valid(m.Data) == nil:
		return domain.JSON
	case utf8.Valid(m.Data):
		return domain.Text
	}
	return domain.Binary
}

// adopt takes a foreign object as it is.
func adopt(body []byte, r Rules) (*domain.Message, error) {
	if err := jsontext.Valid(body); err != nil {
		return nil, syntax(err)
	}
	m := &domain.Message{ContentType: domain.JSON}
	err := jsontext.Walk(body, func(quoted, value []byte) (err error) {
		if name, err := jsontext.String(quoted); err != nil || name != r.UserField {
			return nil // others' fields may be called whatever they like
		}
		if m.To != nil {
			return &domain.FieldError{Path: r.UserField, Problem: "is there twice"}
		}
		m.To, err = adoptedUser(value)
		return domain.At(r.UserField, err)
	})
	if err != nil {
		return nil, syntax(err)
	}
	if m.To == nil {
		return nil, &domain.FieldError{Path: r.UserField, Problem: "missing: it names the user"}
	}
	m.Data = oneLine(body)
	return m, finish(m, Options{MaxData: r.MaxData})
}

// adoptedUser reads the user's name, a string or a whole number.
func adoptedUser(value []byte) ([]domain.Target, error) {
	user := string(value)
	switch c := value[0]; {
	case c == '"':
		var err error
		if user, err = text(value); err != nil {
			return nil, err
		}
	case c < '0' || c > '9':
		return nil, &domain.FieldError{Problem: "want the user's name, a string or a whole number"}
	}
	to, err := domain.UserTarget(user)
	return []domain.Target{to}, err
}
