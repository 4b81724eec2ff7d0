package envelope

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"

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
	if m.ID == "" && e.UUID != "" {
		m.ID = e.UUID
		return m, m.Check()
	}
	return m, nil
}

// fromHeader reads the form whose body is the data, verbatim.
func fromHeader(e *domain.Entry, r Rules) (*domain.Message, error) {
	h := headerFields{body: bytes.Clone(e.Body)}
	for _, field := range e.Header {
		if err := h.take(field); err != nil {
			return nil, domain.At(field.Name, err)
		}
	}
	m := &h.m
	if m.ID == "" {
		m.ID = e.UUID
	}
	if err := h.setData(); err != nil {
		return nil, domain.At("data", err)
	}
	whole := *m // h keeps the body alive
	return &whole, finish(&whole, Options{MaxData: r.MaxData})
}

// headerFields collects what headers say.
type headerFields struct {
	m    domain.Message
	seen uint16 // bits of the names that were there
	body []byte
	// encoded: the body comes from data_base64, so it is there even if it is empty.
	encoded bool
}

// headerNames are the headers that mean something, if the first is there.
var headerNames = [...]string{
	"to", "id", "type", "content_type", "time", "ttl", "from", "session", "data_base64",
}

// Repeated returns a name that makes the header unreadable because it is there
// twice; "" if there is none. Who copies a header to where a name cannot be there
// twice must not make a message of it.
func Repeated(header []domain.Field) (name string) {
	var seen uint16
	for _, f := range header {
		i := slices.Index(headerNames[:], f.Name)
		switch {
		case i < 0:
		case seen&(1<<i) != 0:
			name = f.Name
		default:
			seen |= 1 << i
		}
	}
	if seen&1 == 0 { // without "to" no header means anything
		return ""
	}
	return name
}

func (h *headerFields) take(f domain.Field) (err error) {
	i := slices.Index(headerNames[:], f.Name)
	if i < 0 {
		return nil
	}
	if h.seen&(1<<i) != 0 {
		return &domain.FieldError{Problem: "is there twice"}
	}
	h.seen |= 1 << i
	if f.Value == "" && f.Name != "to" && f.Name != "data_base64" {
		return nil // as if it were not there
	}
	m := &h.m
	switch f.Name {
	case "to":
		m.To, err = headerTargets(f.Value)
	case "id":
		m.ID = f.Value
	case "type":
		m.Type = f.Value
	case "content_type":
		m.ContentType = f.Value
	case "time":
		m.Time, err = parseTime(f.Value)
	case "ttl":
		m.TTL, err = headerSeconds(f.Value)
	case "from":
		m.From = f.Value
	case "session":
		m.Session = f.Value
	case "data_base64":
		if len(h.body) > 0 {
			return &domain.FieldError{Problem: "give data or data_base64, not both"}
		}
		if h.body, err = base64.StdEncoding.DecodeString(f.Value); err != nil {
			return &domain.FieldError{Problem: "want standard base64 with padding"}
		}
		h.encoded = true
	}
	return err
}

// setData says what the body is, by its content type or else by how it looks.
// Where JSON is wanted, or nothing is known, no data is null, as in an envelope.
func (h *headerFields) setData() error {
	m, contentType := &h.m, h.m.ContentType
	if len(h.body) == 0 {
		switch {
		case h.encoded && contentType == "":
			contentType = domain.Binary
		case !h.encoded && (contentType == "" || domain.IsJSON(contentType)):
			h.body = []byte("null")
		}
	}
	if contentType != "" {
		return m.SetData(contentType, h.body)
	}
	return Sniff(m, h.body)
}

// Sniff sets data that came without a content type: it is JSON if it can be,
// else text, else bytes.
func Sniff(m *domain.Message, data []byte) error {
	for _, contentType := range []string{domain.JSON, domain.Text} {
		if err := m.SetData(contentType, data); err == nil {
			return nil
		}
	}
	return m.SetData(domain.Binary, data)
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

// adopt takes a foreign object as it is.
func adopt(body []byte, r Rules) (*domain.Message, error) {
	if err := jsontext.Valid(body); err != nil {
		return nil, syntax(err)
	}
	m := &domain.Message{}
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
	if err := m.SetJSON(domain.JSON, body); err != nil {
		return nil, err
	}
	return m, finish(m, Options{MaxData: r.MaxData})
}

// adoptedUser reads the user's name, a string or a whole number, which names
// the same user however it is written: 42 and 42.0.
func adoptedUser(value []byte) ([]domain.Target, error) {
	var user string
	switch c := value[0]; {
	case c == '"':
		var err error
		if user, err = text(value); err != nil {
			return nil, err
		}
	case c < '0' || c > '9':
		return nil, errNoUser
	case bytes.ContainsAny(value, ".eE"):
		n, err := jsontext.Int(value)
		if err != nil {
			return nil, errNoUser
		}
		user = strconv.FormatInt(n, 10)
	default: // as it stands: it may be larger than any integer of ours
		user = string(value)
	}
	to, err := domain.UserTarget(user)
	return []domain.Target{to}, err
}

var errNoUser = &domain.FieldError{Problem: "want the user's name, a string or a whole number"}
