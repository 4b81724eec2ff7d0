package ws

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/jsontext"
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
type Ops struct{ values *jsontext.Values }

// NewOps returns the ops of a frame. They share its memory.
func NewOps(frame []byte) *Ops { return &Ops{jsontext.NewValues(frame)} }

// Next returns the next op, or io.EOF. With an OpError the op has a Ref if one
// could be read, and reading can go on: what cannot be parsed at all ends the
// frame.
func (o *Ops) Next() (Op, error) {
	text, err := o.values.Next()
	switch {
	case errors.Is(err, io.EOF):
		return Op{}, io.EOF
	case err != nil:
		return Op{}, refuse(Invalid, "%v", err)
	case text[0] != '{':
		return Op{}, refuse(Invalid, "want a JSON object")
	}
	var w wireOp
	if err := jsontext.Fields(text, w.take); err != nil {
		w.fault = cmp.Or(w.fault, err) // the text is well-formed: a name is there twice
	}
	op := Op{Name: w.op}
	if op.Ref, err = w.checkedRef(); err == nil {
		err = w.fill(&op)
	}
	if field := (*domain.FieldError)(nil); errors.As(err, &field) {
		err = &OpError{Invalid, field.Error()}
	} else if errors.Is(err, jsontext.ErrSyntax) {
		err = refuse(Invalid, "%v", err)
	}
	if err != nil {
		return Op{Ref: op.Ref}, err
	}
	return op, nil
}

// wireOp is an op as it is written. What send has of an envelope is read by the
// rules of envelopes.
type wireOp struct {
	op, system, since, token string
	room                     *string
	ref, to                  []byte // as they stand; nil for null
	message                  envelope.Fields
	fault                    error // the first
}

// take takes a field. It goes on after a fault, since the ref may follow.
func (w *wireOp) take(name, value []byte) error {
	w.fault = cmp.Or(w.fault, w.read(name, value))
	return nil
}

func (w *wireOp) read(name, value []byte) (err error) {
	if string(value) == "null" && string(name) != "data" {
		return nil // as if it were not there
	}
	switch string(name) {
	case "op":
		w.op, err = text(value)
	case "ref":
		w.ref = value
	case "system":
		w.system, err = text(value)
	case "room":
		var room string
		room, err = text(value)
		w.room = &room
	case "since":
		w.since, err = text(value)
	case "token":
		w.token, err = text(value)
	case "to":
		w.to = value
	case "id", "type", "ttl", "headers", "content_type", "data", "data_base64":
		_, err = w.message.Take(name, value)
		return err // it names the field
	default:
		err = misspelt(name)
	}
	if err != nil {
		return domain.At(string(name), err)
	}
	return nil
}

// opFields are the names that mean something. Others are for nodes of the
// future, and are ignored.
var opFields = []string{"op", "ref", "system", "room", "since", "token", "to",
	"id", "type", "ttl", "headers", "content_type", "data", "data_base64"}

// misspelt refuses what other parsers than ours would take for a field: {"To":…}
// must not go to whom "" means.
func misspelt(name []byte) error {
	for _, field := range opFields {
		if strings.EqualFold(field, string(name)) {
			return &domain.FieldError{
				Problem: "unknown field: names are as they are written, so it is " + field}
		}
	}
	return nil
}

// text reads a string.
func text(value []byte) (string, error) {
	said, err := jsontext.String(value)
	if errors.Is(err, jsontext.ErrType) {
		return "", &domain.FieldError{Problem: "want a string"}
	}
	if err != nil {
		return "", &domain.FieldError{
			Problem: "want a string of characters: half a surrogate pair is none"}
	}
	return said, nil
}

// checkedRef returns the ref as it stands.
func (w *wireOp) checkedRef() ([]byte, error) {
	if w.ref == nil {
		return nil, nil
	}
	first := w.ref[0]
	if len(w.ref) > MaxRef || first != '"' && first != '-' && (first < '0' || first > '9') {
		return nil, refuse(Invalid, "ref: want a number or a string of at most %d bytes", MaxRef)
	}
	return w.ref, nil
}

func (w *wireOp) fill(op *Op) (err error) {
	if w.fault != nil {
		return w.fault
	}
	switch w.op {
	case "auth":
		if op.Token = w.token; w.token == "" {
			return refuse(Invalid, "token: missing")
		}
		return nil
	case "join", "leave", "send":
	case "":
		return refuse(Invalid, "op: missing")
	default:
		return refuse(Unsupported, "op: want join, leave, send or auth")
	}
	if op.System, err = domain.ParseSystem(w.system); err != nil {
		return domain.At("system", err)
	}
	if w.op == "send" {
		return w.fillSend(op)
	}
	if w.room == nil {
		return refuse(Invalid, "room: missing")
	}
	if w.since != "" {
		if op.Since, err = domain.ParseCursor(w.since); err != nil {
			return domain.At("since", err)
		}
	}
	op.Room, err = domain.RoomTarget(*w.room)
	return domain.At("room", err)
}

func (w *wireOp) fillSend(op *Op) (err error) {
	if op.To, err = w.targets(); err != nil {
		return domain.At("to", err)
	}
	if !w.message.HasData() {
		return refuse(Invalid, "data: missing")
	}
	w.message.NoTo = true
	op.Send, err = w.message.Message()
	return err
}

// targets reads one target or an array of them.
func (w *wireOp) targets() (all []domain.Target, err error) {
	add := func(value []byte) error {
		if len(all) == domain.MaxTargets {
			return &domain.FieldError{Problem: fmt.Sprintf("at most %d targets", domain.MaxTargets)}
		}
		var t domain.Target
		name, err := text(value)
		if err == nil {
			t, err = domain.ParseTarget(name)
		}
		if err != nil {
			return domain.At(fmt.Sprintf("[%d]", len(all)), err)
		}
		all = append(all, t)
		return nil
	}
	switch {
	case w.to == nil:
		return nil, nil
	case w.to[0] == '"':
		err = add(w.to)
	case w.to[0] != '[':
		err = &domain.FieldError{Problem: "want a target or an array of targets"}
	default:
		if err = jsontext.Array(w.to, add); err == nil && len(all) == 0 {
			err = &domain.FieldError{Problem: fmt.Sprintf("want 1 to %d targets", domain.MaxTargets)}
		}
	}
	return all, err
}
