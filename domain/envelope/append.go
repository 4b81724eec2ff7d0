package envelope

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// Append appends the message as an envelope to dst: one line of JSON, which
// [Parse] reads back as the same message. A TTL is rounded up to whole seconds.
func Append(dst []byte, m *domain.Message) []byte {
	dst = append(dst, '{')
	if len(m.To) > 0 {
		dst = appendTo(append(dst, `"to":`...), m.To)
		dst = append(dst, ',')
	}
	dst = appendField(dst, "id", m.ID)
	dst = appendField(dst, "type", m.Type)
	dst = appendField(dst, "from", m.From)
	dst = appendField(dst, "session", m.Session)
	if !m.Time.IsZero() {
		dst = append(dst, `"time":"`...)
		dst = m.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, `",`...)
	}
	if m.TTL > 0 {
		dst = append(dst, `"ttl":`...)
		dst = strconv.AppendInt(dst, int64((m.TTL+time.Second-1)/time.Second), 10)
		dst = append(dst, ',')
	}
	if len(m.Headers) > 0 {
		dst = AppendHeaders(append(dst, `"headers":`...), m.Headers)
		dst = append(dst, ',')
	}
	dst = appendField(dst, "traceparent", m.Traceparent)
	if m.Receipt {
		dst = append(dst, `"receipt":true,`...)
	}
	return append(AppendData(dst, m), '}')
}

// AppendData appends the data field: "data":… for JSON and text, and
// "data_base64":"…" for anything else. Before it, it appends the content type
// unless that is the one that readers assume for such a field.
func AppendData(dst []byte, m *domain.Message) []byte {
	switch m.Form() {
	case domain.JSONForm:
		if m.ContentType != domain.JSON {
			dst = appendField(dst, "content_type", m.ContentType)
		}
		dst = append(dst, `"data":`...)
		return append(dst, m.Data...)
	case domain.TextForm:
		dst = appendField(dst, "content_type", m.ContentType)
		dst = append(dst, `"data":`...)
		return jsontext.AppendMarshaled(dst, m.Data)
	}
	if m.ContentType != domain.Binary {
		dst = appendField(dst, "content_type", m.ContentType)
	}
	dst = append(dst, `"data_base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, m.Data)
	return append(dst, '"')
}

// AppendHeaders appends the headers as an object of strings, sorted by name.
func AppendHeaders(dst []byte, headers map[string]string) []byte {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(headers)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsontext.AppendMarshaled(dst, name)
		dst = append(dst, ':')
		dst = jsontext.AppendMarshaled(dst, headers[name])
	}
	return append(dst, '}')
}

func appendTo(dst []byte, to []domain.Target) []byte {
	if len(to) == 1 {
		return jsontext.AppendMarshaled(dst, to[0].String())
	}
	separator := byte('[')
	for _, t := range to {
		dst = jsontext.AppendMarshaled(append(dst, separator), t.String())
		separator = ','
	}
	return append(dst, ']')
}

// appendField appends `"name":"value",` unless value is empty.
func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	dst = jsontext.AppendMarshaled(dst, value)
	return append(dst, ',')
}
