package ws

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// What a node tells fanfare.v1.json clients beside messages and gaps. Each
// function makes one frame.

func cursorNotice(system domain.System, at domain.Cursor) []byte {
	b := append(make([]byte, 0, 160), `{"op":"cursor","system":"`...)
	b = append(b, system.String()...)
	b = append(b, `","cursor":`...)
	return append(appendCursor(b, at), '}')
}

func busNotice(up bool) []byte {
	return append(strconv.AppendBool([]byte(`{"op":"bus","up":`), up), '}')
}

func goawayNotice(retry time.Duration) []byte {
	return append(appendInt([]byte(`{"op":"goaway","retry_ms":`), retry.Milliseconds()), '}')
}

// leftNotice says that a room, or with room "" a system, was left because the
// new token lacks it.
func leftNotice(system domain.System, room string) []byte {
	b := append([]byte(`{"op":"left","system":"`), system.String()...)
	b = append(b, '"')
	if room != "" {
		b = append(b, `,"room":`...)
		b = appendString(b, room)
	}
	return append(b, `,"reason":"token"}`...)
}

// okAnswer answers an op; id is the message's, of a send.
func okAnswer(ref []byte, id string) []byte {
	b := appendRef([]byte(`{"op":"ok"`), ref)
	if id != "" {
		b = append(b, `,"id":`...)
		b = appendString(b, id)
	}
	return append(b, '}')
}

func errorAnswer(ref []byte, code Code, message string) []byte {
	b := appendRef([]byte(`{"op":"error"`), ref)
	b = append(b, `,"code":"`...)
	b = append(b, code...)
	b = append(b, `","message":`...)
	return append(appendString(b, message), '}')
}

func appendRef(b, ref []byte) []byte {
	if len(ref) == 0 {
		return b
	}
	b = append(b, `,"ref":`...)
	return append(b, ref...)
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

// jitter returns a random number of milliseconds below span.
func jitter(span time.Duration) int64 {
	return rand.Int64N(max(span.Milliseconds(), 1))
}
