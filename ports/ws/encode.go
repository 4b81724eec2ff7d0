package ws

import (
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// V1 is the subprotocol of clients that understand ops, cursors and gaps.
const V1 = "fanfare.v1.json"

// Plain is the subprotocol of clients that want data and nothing else. No
// subprotocol means the same.
const Plain = "fanfare.plain"

// PlainEncoder makes the frames of plain clients: the data, verbatim.
type PlainEncoder struct{}

var _ stream.Encoder = PlainEncoder{}

// Message returns m's data, as text when it is valid UTF-8. Empty data makes an
// empty frame: that, too, was said.
func (PlainEncoder) Message(_ domain.System, m *domain.Message, _ domain.Target, _ domain.Cursor) stream.Frame {
	if m.Data == nil {
		return stream.Frame{Bytes: []byte{}}
	}
	return stream.Frame{Bytes: m.Data, Binary: !utf8.Valid(m.Data)}
}

// Gap returns no frame: plain clients have no notices.
func (PlainEncoder) Gap(domain.System, domain.GapReason, domain.Cursor) stream.Frame {
	return stream.Frame{}
}
