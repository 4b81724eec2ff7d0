package session

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// Notices are what a node sends to clients of fanfare.v1.json beside messages and
// gaps. Each function makes one frame.

// CursorNotice tells the client its cursor in a system.
func CursorNotice(system domain.System, at domain.Cursor) []byte {
	b := append(make([]byte, 0, 160), `{"op":"cursor","system":"`...)
	b = append(b, system.String()...)
	b = append(b, `","cursor":`...)
	return append(appendCursor(b, at), '}')
}

// BusNotice tells the client whether the node can reach its bus.
func BusNotice(up bool) []byte {
	return append(strconv.AppendBool([]byte(`{"op":"bus","up":`), up), '}')
}

// GoawayNotice asks the client to connect to another node while it has this session, for
// at most the grace; and if it cannot, to come back after retry. Without a grace the session
// ends now.
func GoawayNotice(retry, grace time.Duration) []byte {
	b := appendInt([]byte(`{"op":"goaway","retry_ms":`), retry.Milliseconds())
	if ms := grace.Milliseconds(); ms > 0 {
		b = appendInt(append(b, `,"grace_ms":`...), ms)
	}
	return append(b, '}')
}

// RejectionNotice is like [GoawayNotice], for a client that gets no session. It also
// tells the client why.
func RejectionNotice(retry time.Duration, r *Rejection) []byte {
	b := appendInt([]byte(`{"op":"goaway","retry_ms":`), retry.Milliseconds())
	b = appendInt(append(b, `,"status":`...), int64(r.Status))
	b = jsontext.AppendString(append(b, `,"reason":`...), r.Detail)
	return append(b, '}')
}

// DisconnectNotice says that the session was disconnected, with which code it will be
// closed, and whether the client may come back by itself.
func DisconnectNotice(code int, reason string, final bool) []byte {
	b := appendInt([]byte(`{"op":"disconnect","code":`), int64(code))
	b = jsontext.AppendString(append(b, `,"reason":`...), reason)
	return append(strconv.AppendBool(append(b, `,"reconnect":`...), !final), '}')
}

// joinedNotice says that the server side has put the user into a room.
func joinedNotice(system domain.System, room string) []byte {
	b := appendPlace([]byte(`{"op":"joined"`), system, room)
	return append(b, `,"by":"server"}`...)
}

// LeftNotice says that the client has left a room or, if room is "", the system, and why:
// "token" or "server".
func LeftNotice(system domain.System, room, reason string) []byte {
	b := appendPlace([]byte(`{"op":"left"`), system, room)
	return append(jsontext.AppendString(append(b, `,"reason":`...), reason), '}')
}

// appendPlace appends the members "system" and, unless room is "", "room".
func appendPlace(b []byte, system domain.System, room string) []byte {
	b = append(append(b, `,"system":"`...), system.String()...)
	b = append(b, '"')
	if room != "" {
		b = jsontext.AppendString(append(b, `,"room":`...), room)
	}
	return b
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

// jitterMillis returns a random number of milliseconds, less than span.
func jitterMillis(span time.Duration) int64 {
	return rand.Int64N(max(span.Milliseconds(), 1))
}
