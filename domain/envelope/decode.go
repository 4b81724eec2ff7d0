package envelope

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// Rules say how to read the entries of a system.
type Rules struct {
	// UserField, if set, adopts a channel that another program fills with its
	// own JSON objects: the field of this name says which user the message is
	// for, and the whole object is the data.
	UserField string
	// MaxData is the size limit of the data in bytes; 0 means no limit.
	MaxData int
}

// Decode reads an entry of the bus, in either form. The message does not share
// memory with the entry. The errors are those of [Parse].
func Decode(e *domain.Entry, r Rules) (*domain.Message, error) {
	if r.UserField != "" {
		m, err := adopt(e.Body, r)
		if err == nil {
			m.Traceparent = traceparent(e.Header)
		}
		return m, err
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
	if m.Traceparent == "" {
		m.Traceparent = traceparent(e.Header)
	}
	if m.ID == "" && e.UUID != "" {
		m.ID = strings.Clone(e.UUID) // a clone: the entries of a batch may share memory
		return m, m.Check()
	}
	return m, nil
}

// fromHeader reads the form whose body is the data, verbatim.
func fromHeader(e *domain.Entry, r Rules) (*domain.Message, error) {
	h := headerFields{m: newMessage(), body: e.Body}
	for _, field := range e.Header {
		if err := h.take(field); err != nil {
			return nil, domain.At(field.Name, err)
		}
	}
	if h.m.ID == "" {
		h.m.ID = h.texts.clone(e.UUID)
	}
	h.m.Traceparent = traceparent(e.Header)
	if err := h.setData(); err != nil {
		return nil, domain.At("data", err)
	}
	return h.m, finish(h.m, Options{MaxData: r.MaxData})
}

// headerFields collects the fields of a message from an entry's headers.
type headerFields struct {
	m       *domain.Message
	texts   texts
	seen    uint16 // bit i is set if headerNames[i] was there
	body    []byte // the data; it may be the entry's
	encoded bool   // the body comes from data_base64, so it was given even if it is empty
}

// headerNames are the headers that hold fields of a message, provided that the
// first of them, "to", is there.
var headerNames = [...]string{
	"to", "id", "type", "content_type", "time", "ttl", "from", "session", "data_base64", "receipt",
}

// Repeated returns the name of a field that the header holds twice, which makes
// the message unreadable, or "" if there is none. Code that copies a header into
// a map, where the repetition would disappear, must not make a readable message
// of it.
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
	if seen&1 == 0 { // without "to" the headers are not the message's fields
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
		return nil // an empty field counts as absent
	}
	m := h.m
	switch f.Name {
	case "to":
		m.To, err = h.texts.headerTargets(f.Value, m.To)
	case "id":
		m.ID = h.texts.clone(f.Value)
	case "type":
		m.Type = h.texts.clone(f.Value)
	case "content_type":
		m.ContentType = h.texts.clone(f.Value)
	case "time":
		m.Time, err = parseTime(f.Value)
	case "ttl":
		m.TTL, err = headerSeconds(f.Value)
	case "from":
		m.From = h.texts.clone(f.Value)
	case "session":
		m.Session = h.texts.clone(f.Value)
	case "receipt":
		m.Receipt, err = boolean([]byte(f.Value))
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

// traceparent returns the header of that name, "" if there is none, or a bad one, or if
// there are several. Libraries write it that know nothing of Fanfare, some of them as
// Traceparent, so it never makes a message unreadable.
func traceparent(header []domain.Field) string {
	found := ""
	for _, f := range header {
		if len(f.Name) != len("traceparent") || !strings.EqualFold(f.Name, "traceparent") {
			continue
		}
		if found != "" {
			return ""
		}
		if found = domain.ParseTraceparent(f.Value); found == "" {
			return ""
		}
	}
	return strings.Clone(found) // the entries of a batch may share memory
}

// setData sets the body as data of the given content type, or else of the one
// that it looks like. An empty body is the JSON value null if the content type
// is JSON or missing, as in an envelope without data.
func (h *headerFields) setData() error {
	m, contentType := h.m, h.m.ContentType
	if len(h.body) == 0 {
		switch {
		case h.encoded && contentType == "":
			contentType = domain.Binary
		case !h.encoded && (contentType == "" || domain.IsJSON(contentType)):
			h.body = []byte("null")
		}
	}
	switch {
	case domain.IsJSON(contentType):
		return m.SetData(contentType, h.body) // keeps a copy, since it is JSON
	case contentType == "":
		return sniff(m, h.body, bytes.Clone)
	}
	return m.SetData(contentType, bytes.Clone(h.body))
}

// Sniff sets data that came without a content type. The data is JSON if it is
// valid JSON, else text if it is valid UTF-8, else bytes. The message keeps data,
// or a copy.
func Sniff(m *domain.Message, data []byte) error {
	return sniff(m, data, func(data []byte) []byte { return data })
}

// sniff is [Sniff] for data that the message can keep once own has been called.
func sniff(m *domain.Message, data []byte, own func([]byte) []byte) error {
	switch {
	case jsontext.Valid(data) == nil:
		return m.SetJSON(domain.JSON, data) // keeps a copy
	case utf8.Valid(data):
		return m.SetData(domain.Text, own(data))
	}
	return m.SetData(domain.Binary, own(data))
}

// headerTargets reads one target, or a JSON array of them, and appends them to all.
func (x *texts) headerTargets(s string, all []domain.Target) ([]domain.Target, error) {
	if len(s) == 0 || s[0] != '[' {
		t, err := domain.ParseTarget(x.clone(s))
		return append(all, t), err
	}
	value := []byte(s)
	if jsontext.Valid(value) != nil {
		return nil, &domain.FieldError{Problem: "want a target or a JSON array of targets"}
	}
	return x.targets(value, all)
}

// adopt makes a message of another program's JSON object, as [Rules] describe.
func adopt(body []byte, r Rules) (*domain.Message, error) {
	if err := jsontext.Valid(body); err != nil {
		return nil, syntax(err)
	}
	m := &domain.Message{}
	err := jsontext.Walk(body, func(quoted, value []byte) (err error) {
		if name, err := jsontext.String(quoted); err != nil || name != r.UserField {
			return nil // the names of the other fields need not be valid
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

// adoptedUser reads the user's name, which is a string or a whole number. A
// number names the same user however it is written, such as 42 and 42.0.
func adoptedUser(value []byte) ([]domain.Target, error) {
	var user string
	switch c := value[0]; {
	case c == '"':
		name, err := text(value)
		if err != nil {
			return nil, err
		}
		user = string(name)
	case c < '0' || c > '9':
		return nil, errNoUser
	case bytes.ContainsAny(value, ".eE"):
		n, err := jsontext.Int(value)
		if err != nil {
			return nil, errNoUser
		}
		user = strconv.FormatInt(n, 10)
	default: // verbatim, since the number may not fit in an int64
		user = string(value)
	}
	to, err := domain.UserTarget(user)
	return []domain.Target{to}, err
}

var errNoUser = &domain.FieldError{Problem: "want the user's name, a string or a whole number"}
