package ws

import (
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// V1 is the subprotocol of clients that understand ops, cursors and gaps.
const V1 = "fanfare.v1.json"

// Plain is the subprotocol of clients that want the data and nothing else. A client
// that names no subprotocol is a plain client, too.
const Plain = "fanfare.plain"

// PlainEncoder makes the frames of plain clients: the data as it is.
type PlainEncoder struct{}

var _ stream.Encoder = PlainEncoder{}

// Message returns m's data, as text if it is valid UTF-8. Empty data makes an empty
// frame, so that the client learns that there was a message.
func (PlainEncoder) Message(
	_ domain.System, m *domain.Message, _ domain.Target, _ domain.Cursor,
) stream.Frame {
	if m.Data == nil {
		return stream.Frame{Bytes: []byte{}}
	}
	return stream.Frame{Bytes: m.Data, Binary: !utf8.Valid(m.Data)}
}

// Gap returns no frame, since plain clients get no notices.
func (PlainEncoder) Gap(domain.System, domain.GapReason, domain.Cursor) stream.Frame {
	return stream.Frame{}
}
