package ws

import (
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
	"github.com/fanfarebus/fanfare/ports/session"
)

// Only WebSocket clients are sent what is made here: answers to their ops. Each function
// makes one frame.

// okAnswer answers an op that succeeded. The id is that of the message sent, else "".
func okAnswer(ref []byte, id string) []byte {
	b := appendRef([]byte(`{"op":"ok"`), ref)
	if id != "" {
		b = append(b, `,"id":`...)
		b = jsontext.AppendString(b, id)
	}
	return append(b, '}')
}

// errorAnswer answers an op that failed.
func errorAnswer(ref []byte, code Code, message string) []byte {
	b := appendRef([]byte(`{"op":"error"`), ref)
	b = append(b, `,"code":"`...)
	b = append(b, code...)
	b = append(b, `","message":`...)
	return append(jsontext.AppendString(b, message), '}')
}

// appendRef appends the op's ref as the client wrote it, if there is one.
func appendRef(b, ref []byte) []byte {
	if len(ref) == 0 {
		return b
	}
	b = append(b, `,"ref":`...)
	return append(b, ref...)
}

// okWithLast answers a join that asked for the last messages of a room.
func okWithLast(ref []byte, missing domain.GapReason) []byte {
	b := okAnswer(ref, "")
	return append(session.AppendLast(b[:len(b)-1], missing), '}')
}
