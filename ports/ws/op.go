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
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// An Op is what a client of fanfare.v1.json asks for. Which fields are set depends on
// Name.
type Op struct {
	Name   string // join, leave, send, auth or presence
	Ref    []byte // the JSON string or number that the answer repeats; nil for none
	System domain.System
	Room   domain.Target   // join, leave, presence; zero for the system itself
	Since  domain.Cursor   // join; zero if it was not given
	Last   stream.Last     // join; zero if it was not given
	Token  string          // auth
	To     []domain.Target // send; empty means the business system itself
	Send   *domain.Message // send; without To, From, Time
	Watch  Watch           // presence
}

// A Watch says what a client wants to know about who is in a place.
type Watch string

// What a client may want to know.
const (
	WatchNothing Watch = "false"
	WatchCount   Watch = "count" // how many users are there
	WatchUsers   Watch = "users" // who is there
)

// MaxRef is the longest ref, in bytes.
const MaxRef = 64

// Ops reads the ops of one frame: one JSON object, or several with white space between
// them. It is safe on any input.
type Ops struct{ values *jsontext.Values }

// NewOps returns the ops of a frame, with which they share memory.
func NewOps(frame []byte) *Ops { return &Ops{jsontext.NewValues(frame)} }

// Next returns the next op, or [io.EOF]. With an [OpError], the op has its Ref if that
// could be read, and Next may be called again: it returns io.EOF if the rest of the
// frame cannot be parsed at all.
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
		w.fault = cmp.Or(w.fault, err) // the text is well-formed, so a name is there twice
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

// A wireOp is an op as it was written. The members that send shares with an envelope
// are read by the rules of envelopes.
type wireOp struct {
	op, system, since, token string
	last                     stream.Last
	room                     *string
	watch                    Watch
	ref, to                  []byte // as written; nil for null
	message                  envelope.Fields
	fault                    error // the first that was found
}

// take reads a member. It does not stop after a fault, since the ref may follow.
func (w *wireOp) take(name, value []byte) error {
	w.fault = cmp.Or(w.fault, w.read(name, value))
	return nil
}

// read reads a member. One that is null counts as absent, except for data.
func (w *wireOp) read(name, value []byte) (err error) {
	if string(value) == "null" && string(name) != "data" {
		return nil
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
	case "last":
		w.last, err = last(value)
	case "token":
		w.token, err = text(value)
	case "to":
		w.to = value
	case "watch":
		w.watch, err = watch(value)
	case "id", "type", "ttl", "headers", "content_type", "data", "data_base64":
		_, err = w.message.Take(name, value)
		return err // Take has put the name into it
	default:
		err = misspelled(name)
	}
	if err != nil {
		return domain.At(string(name), err)
	}
	return nil
}

// opFields are the names that are read. Others are ignored, since clients may be
// written for later versions.
var opFields = []string{"op", "ref", "system", "room", "since", "last", "token", "to", "watch",
	"id", "type", "ttl", "headers", "content_type", "data", "data_base64"}

// misspelled refuses a name that differs from a known one only in case. If {"To":…}
// were ignored, the message would go to the business system and not to whom the client
// meant.
func misspelled(name []byte) error {
	for _, field := range opFields {
		if strings.EqualFold(field, string(name)) {
			return &domain.FieldError{
				Problem: "unknown field: names are as they are written, so it is " + field}
		}
	}
	return nil
}

// watch reads what a client wants to know about who is in a place.
func watch(value []byte) (Watch, error) {
	if string(value) == string(WatchNothing) {
		return WatchNothing, nil
	}
	if name, err := text(value); err == nil {
		if w := Watch(name); w == WatchCount || w == WatchUsers {
			return w, nil
		}
	}
	return "", &domain.FieldError{Problem: `want "count", "users" or false`}
}

// last reads which messages of a room a client wants to have had: 20, or "5m".
func last(value []byte) (stream.Last, error) {
	written := string(value)
	if value[0] == '"' {
		var err error
		if written, err = text(value); err != nil {
			return stream.Last{}, err
		}
	}
	return session.ParseLast(written)
}

// text reads a JSON string.
func text(value []byte) (string, error) {
	decoded, err := jsontext.String(value)
	if errors.Is(err, jsontext.ErrType) {
		return "", &domain.FieldError{Problem: "want a string"}
	}
	if err != nil {
		return "", &domain.FieldError{
			Problem: "want a string of characters: half a surrogate pair is none"}
	}
	return decoded, nil
}

// checkedRef returns the ref as it was written, if it is one.
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

// fill sets the fields of op, and checks that they are there.
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
	case "join", "leave", "send", "presence":
	case "":
		return refuse(Invalid, "op: missing")
	default:
		return refuse(Unsupported, "op: want join, leave, send, auth or presence")
	}
	if op.System, err = domain.ParseSystem(w.system); err != nil {
		return domain.At("system", err)
	}
	if w.op == "send" {
		return w.fillSend(op)
	}
	if op.Watch = w.watch; w.op == "presence" && w.watch == "" {
		return refuse(Invalid, "watch: missing")
	}
	switch {
	case w.room == nil && w.op == "presence":
		return nil
	case w.room == nil:
		return refuse(Invalid, "room: missing")
	}
	op.Last = w.last
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
	w.message.NoTo = true // it stands in To, and may be missing
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
			problem := fmt.Sprintf("want 1 to %d targets", domain.MaxTargets)
			err = &domain.FieldError{Problem: problem}
		}
	}
	return all, err
}
