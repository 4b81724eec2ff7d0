package ws

import (
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// What only WebSocket clients are told: answers to their ops, and what a new
// token took from them. Each function makes one frame.

// leftNotice says that a room, or with room "" a system, was left because the
// new token lacks it.
func leftNotice(system domain.System, room string) []byte {
	b := append([]byte(`{"op":"left","system":"`), system.String()...)
	b = append(b, '"')
	if room != "" {
		b = append(b, `,"room":`...)
		b = jsontext.AppendString(b, room)
	}
	return append(b, `,"reason":"token"}`...)
}

// okAnswer answers an op; id is the message's, of a send.
func okAnswer(ref []byte, id string) []byte {
	b := appendRef([]byte(`{"op":"ok"`), ref)
	if id != "" {
		b = append(b, `,"id":`...)
		b = jsontext.AppendString(b, id)
	}
	return append(b, '}')
}

func errorAnswer(ref []byte, code Code, message string) []byte {
	b := appendRef([]byte(`{"op":"error"`), ref)
	b = append(b, `,"code":"`...)
	b = append(b, code...)
	b = append(b, `","message":`...)
	return append(jsontext.AppendString(b, message), '}')
}

func appendRef(b, ref []byte) []byte {
	if len(ref) == 0 {
		return b
	}
	b = append(b, `,"ref":`...)
	return append(b, ref...)
}
