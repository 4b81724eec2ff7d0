package session

import (
	"bytes"
	"encoding/base64"
	"maps"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// V1Encoder makes the frames of fanfare.v1.json: one op each, without line breaks.
// All sessions that use it share the frames, whatever their port.
type V1Encoder struct{}

var _ stream.Encoder = V1Encoder{}

// Message encodes m in one allocation, unless it holds much to escape.
func (V1Encoder) Message(
	system domain.System, m *domain.Message, to domain.Target, at domain.Cursor,
) stream.Frame {
	b := make([]byte, 0, sizeOf(system, m, to, at))
	b = append(b, `{"op":"message","system":"`...)
	b = append(b, system.String()...)
	b = append(b, `","id":`...)
	b = jsontext.AppendString(b, m.ID)
	b = appendCursorMember(b, at)
	b = appendTo(append(b, `,"to":`...), m, to)
	if m.From != "" {
		b = append(b, `,"from":`...)
		b = jsontext.AppendString(b, m.From)
	}
	if m.Type != "" {
		b = append(b, `,"type":`...)
		b = jsontext.AppendString(b, m.Type)
	}
	if t := firstTime(m.Time, at.Time); !t.IsZero() && domain.CheckTime(t) == nil {
		b = append(b, `,"time":"`...)
		b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
		b = append(b, '"')
	}
	if len(m.Headers) > 0 {
		b = appendHeaders(b, m.Headers)
	}
	return stream.Frame{Bytes: append(appendData(b, m), '}')}
}

// appendTo appends the target that matched. Without one, somebody reads what is for anybody,
// and is told all targets.
func appendTo(b []byte, m *domain.Message, to domain.Target) []byte {
	if to != (domain.Target{}) || len(m.To) == 0 {
		return jsontext.AppendString(b, to.String())
	}
	if len(m.To) == 1 {
		return jsontext.AppendString(b, m.To[0].String())
	}
	for i, t := range m.To {
		b = jsontext.AppendString(append(b, "[,"[min(i, 1)]), t.String())
	}
	return append(b, ']')
}

// Gap encodes a gap. It asks the client to wait for a random time before it fetches
// what it may have missed, so that not all clients fetch at once.
func (V1Encoder) Gap(
	system domain.System, reason domain.GapReason, at domain.Cursor,
) stream.Frame {
	b := append(make([]byte, 0, 192), `{"op":"gap","system":"`...)
	b = append(b, system.String()...)
	b = append(b, `","reason":`...)
	b = jsontext.AppendString(b, string(reason))
	b = appendCursorMember(b, at)
	b = append(b, `,"after_ms":`...)
	b = appendInt(b, jitterMillis(gapSpan))
	return stream.Frame{Bytes: append(b, '}')}
}

// gapSpan is the time over which clients are asked to spread what they fetch
// after a gap.
const gapSpan = 2 * time.Second

// sizeOf returns how many bytes the frame of a message takes at most, if nothing in
// it needs escaping.
func sizeOf(system domain.System, m *domain.Message, to domain.Target, at domain.Cursor) int {
	const fixed = 160 // names, punctuation, time
	n := fixed + len(system.String()) + len(m.ID) + len(to.String()) + len(m.From) + len(m.Type) +
		base64.RawURLEncoding.EncodedLen(24+len(at.Position))
	if m.ContentType != domain.JSON {
		n += len(m.ContentType) + 20
	}
	if domain.FormOf(m.ContentType) == domain.Bytes {
		n += base64.StdEncoding.EncodedLen(len(m.Data))
	} else {
		n += len(m.Data)
	}
	for k, v := range m.Headers {
		n += len(k) + len(v) + 6
	}
	return n
}

// appendCursorMember appends the member "cursor", if there is a cursor.
func appendCursorMember(b []byte, at domain.Cursor) []byte {
	if at.IsZero() {
		return b
	}
	return appendCursor(append(b, `,"cursor":`...), at)
}

// appendCursor appends a cursor as JSON: a string, or null if it is zero.
func appendCursor(b []byte, at domain.Cursor) []byte {
	if at.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	return append(at.Append(b), '"')
}

// appendHeaders appends the member "headers", sorted by name.
func appendHeaders(b []byte, headers map[string]string) []byte {
	b = append(b, `,"headers":{`...)
	if len(headers) == 1 {
		for k, v := range headers {
			b = append(jsontext.AppendString(b, k), ':')
			b = jsontext.AppendString(b, v)
		}
		return append(b, '}')
	}
	for i, k := range slices.Sorted(maps.Keys(headers)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsontext.AppendString(b, k), ':')
		b = jsontext.AppendString(b, headers[k])
	}
	return append(b, '}')
}

// appendData appends the data in the form that its content type promises. Whether it
// has that form is checked: data that were copied unchecked could add members to the
// op.
func appendData(b []byte, m *domain.Message) []byte {
	promised := domain.FormOf(m.ContentType)
	switch form := m.Form(); {
	case form == domain.JSONForm:
		if m.ContentType != domain.JSON {
			b = appendContentType(b, m)
		}
		return append(append(b, `,"data":`...), m.Data...)
	case promised == domain.TextForm:
		return jsontext.AppendString(append(appendContentType(b, m), `,"data":`...), m.Data)
	case promised == domain.JSONForm:
		return appendBroken(b, m)
	}
	return appendBytes(b, m)
}

// appendBroken appends data that should be JSON and is not. Decoders refuse such
// messages, so this is for messages that were made otherwise.
func appendBroken(b []byte, m *domain.Message) []byte {
	if len(m.Data) == 0 {
		return b
	}
	mended := *m
	if mended.SetData(m.ContentType, bytes.ToValidUTF8(m.Data, []byte("\ufffd"))) == nil {
		return appendData(b, &mended)
	}
	return appendBytes(b, m)
}

// appendBytes appends data as base64.
func appendBytes(b []byte, m *domain.Message) []byte {
	b = append(appendContentType(b, m), `,"data_base64":"`...)
	return append(base64.StdEncoding.AppendEncode(b, m.Data), '"')
}

func appendContentType(b []byte, m *domain.Message) []byte {
	return jsontext.AppendString(append(b, `,"content_type":`...), m.ContentType)
}

func firstTime(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}
