package ws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// A Code says to a fanfare.v1.json client why an op failed.
type Code string

// The codes of error answers.
const (
	Invalid     Code = "invalid"
	Forbidden   Code = "forbidden"
	NotFound    Code = "not_found"
	TooLarge    Code = "too_large"
	RateLimited Code = "rate_limited"
	BusDown     Code = "bus_down"
	Busy        Code = "busy"
	Unsupported Code = "unsupported"
)

// An OpError is a refused op: the code, and what to tell the client.
type OpError struct {
	Code    Code
	Message string
}

func (e *OpError) Error() string { return string(e.Code) + ": " + e.Message }

func refuse(code Code, format string, args ...any) error {
	return &OpError{code, fmt.Sprintf(format, args...)}
}

// An Op is what a fanfare.v1.json client asks for. Which fields matter depends
// on Name.
type Op struct {
	Name   string // join, leave, send or auth
	Ref    []byte // JSON string or number that the answer repeats; may be nil
	System domain.System
	Room   domain.Target   // join, leave
	Since  domain.Cursor   // join; zero if it was not given
	Token  string          // auth
	To     []domain.Target // send; none means the business system itself
	Send   *domain.Message // send; without To, From, Time
}

// MaxRef is the longest ref, in bytes.
const MaxRef = 64

// Ops reads the ops of one frame: JSON objects, one or several with white
// space between them. It is safe on any input.
type Ops struct{ dec *json.Decoder }

// NewOps returns the ops of a frame.
func NewOps(frame []byte) *Ops {
	if !utf8.Valid(frame) {
		return &Ops{}
	}
	return &Ops{json.NewDecoder(bytes.NewReader(frame))}
}

// Next returns the next op, or io.EOF. With an OpError the op has a Ref if one
// could be read, and reading can go on: what cannot be parsed at all ends the
// frame.
func (o *Ops) Next() (Op, error) {
	if o.dec == nil {
		o.dec = json.NewDecoder(bytes.NewReader(nil))
		return Op{}, refuse(Invalid, "not UTF-8")
	}
	var w wireOp
	err := o.dec.Decode(&w)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return w.op()
	case errors.Is(err, io.EOF):
		return Op{}, io.EOF
	case errors.As(err, &wrongType) && wrongType.Field != "":
		op, _ := w.op()
		return Op{Ref: op.Ref}, refuse(Invalid, "%s: a JSON %s does not fit here", wrongType.Field, wrongType.Value)
	case errors.As(err, &wrongType):
		return Op{}, refuse(Invalid, "want a JSON object, not a JSON %s", wrongType.Value)
	default:
		o.dec = json.NewDecoder(bytes.NewReader(nil))
		return Op{}, refuse(Invalid, "not JSON")
	}
}

// wireOp is an op as it is written.
type wireOp struct {
	Op          string            `json:"op"`
	Ref         json.RawMessage   `json:"ref"`
	System      string            `json:"system"`
	Room        *string           `json:"room"`
	Since       string            `json:"since"`
	Token       string            `json:"token"`
	To          json.RawMessage   `json:"to"`
	ID          string            `json:"id"`
	Type        string            `json:"type"`
	TTL         int64             `json:"ttl"`
	Headers     map[string]string `json:"headers"`
	ContentType string            `json:"content_type"`
	Data        json.RawMessage   `json:"data"`
	DataBase64  *string           `json:"data_base64"`
}

func (w *wireOp) op() (Op, error) {
	op := Op{Name: w.Op}
	if ref := w.Ref; len(ref) > 0 && !bytes.Equal(ref, []byte("null")) {
		if first := ref[0]; len(ref) > MaxRef || first != '"' && first != '-' && (first < '0' || first > '9') {
			return Op{}, refuse(Invalid, "ref: want a number or a string of at most %d bytes", MaxRef)
		}
		op.Ref = ref
	}
	err := w.fill(&op)
	if field := (*domain.FieldError)(nil); errors.As(err, &field) {
		err = &OpError{Invalid, field.Error()}
	}
	return op, err
}

func (w *wireOp) fill(op *Op) (err error) {
	switch w.Op {
	case "auth":
		if op.Token = w.Token; w.Token == "" {
			return refuse(Invalid, "token: missing")
		}
		return nil
	case "join", "leave", "send":
	case "":
		return refuse(Invalid, "op: missing")
	default:
		return refuse(Unsupported, "op: want join, leave, send or auth")
	}
	if op.System, err = domain.ParseSystem(w.System); err != nil {
		return domain.At("system", err)
	}
	if w.Op == "send" {
		return w.fillSend(op)
	}
	if w.Room == nil {
		return refuse(Invalid, "room: missing")
	}
	if w.Since != "" {
		if op.Since, err = domain.ParseCursor(w.Since); err != nil {
			return domain.At("since", err)
		}
	}
	op.Room, err = domain.RoomTarget(*w.Room)
	return domain.At("room", err)
}

func (w *wireOp) fillSend(op *Op) (err error) {
	if op.To, err = w.targets(); err != nil {
		return err
	}
	if w.TTL < 0 || w.TTL > int64(domain.MaxTTL/time.Second) {
		return refuse(Invalid, "ttl: want 0 to %d seconds", int(domain.MaxTTL/time.Second))
	}
	m := &domain.Message{ID: w.ID, Type: w.Type, TTL: time.Duration(w.TTL) * time.Second, Headers: w.Headers}
	if err := w.payload(m); err != nil {
		return err
	}
	// What every node could not read must not be told to be sent.
	op.Send, err = envelope.Parse(envelope.Append(nil, m), envelope.Options{NoTo: true})
	if err != nil {
		return refuse(Invalid, "%v", err)
	}
	return nil
}

// targets reads one target or an array of them.
func (w *wireOp) targets() ([]domain.Target, error) {
	if len(w.To) == 0 || bytes.Equal(w.To, []byte("null")) {
		return nil, nil
	}
	var names []string
	if w.To[0] != '[' {
		names = make([]string, 1)
		if json.Unmarshal(w.To, &names[0]) != nil {
			return nil, refuse(Invalid, "to: want a target or an array of targets")
		}
	} else if json.Unmarshal(w.To, &names) != nil || len(names) == 0 || len(names) > domain.MaxTargets {
		return nil, refuse(Invalid, "to: want 1 to %d targets", domain.MaxTargets)
	}
	targets := make([]domain.Target, len(names))
	for i, name := range names {
		t, err := domain.ParseTarget(name)
		if err != nil {
			return nil, domain.At(fmt.Sprintf("to[%d]", i), err)
		}
		targets[i] = t
	}
	return targets, nil
}

// payload reads data or data_base64, by the content type.
func (w *wireOp) payload(m *domain.Message) error {
	m.ContentType = w.ContentType
	switch {
	case w.DataBase64 != nil && w.Data != nil:
		return refuse(Invalid, "data_base64: not together with data")
	case w.DataBase64 != nil:
		return w.decode(m)
	case w.Data == nil:
		return refuse(Invalid, "data: missing")
	case m.ContentType == domain.Text:
		var text string
		if json.Unmarshal(w.Data, &text) != nil {
			return refuse(Invalid, "data: want a string with content_type %s", domain.Text)
		}
		m.Data = []byte(text)
		return nil
	case m.ContentType == "" || m.ContentType == domain.JSON:
		m.ContentType = domain.JSON
		m.Data = oneLine(w.Data)
		return nil
	default:
		return refuse(Invalid, "data: want data_base64 with this content_type")
	}
}

// decode reads data_base64, and holds it to what its content type promises.
func (w *wireOp) decode(m *domain.Message) (err error) {
	if m.ContentType == "" {
		m.ContentType = domain.Binary
	}
	if m.Data, err = base64.StdEncoding.DecodeString(*w.DataBase64); err != nil {
		return refuse(Invalid, "data_base64: not base64")
	}
	switch m.ContentType {
	case domain.JSON:
		if !json.Valid(m.Data) || !utf8.Valid(m.Data) {
			return refuse(Invalid, "data_base64: not JSON")
		}
		m.Data = oneLine(m.Data)
	case domain.Text:
		if !utf8.Valid(m.Data) {
			return refuse(Invalid, "data_base64: not UTF-8")
		}
	}
	return nil
}

// oneLine returns valid JSON without raw line breaks.
func oneLine(data []byte) []byte {
	if !bytes.ContainsAny(data, "\r\n") {
		return data
	}
	var b bytes.Buffer
	if json.Compact(&b, data) != nil {
		return data
	}
	return b.Bytes()
}
