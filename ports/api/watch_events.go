package api

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// shownTargets is how many targets of a message an event names.
const shownTargets = 20

// seenEvent makes the event of an entry: one line of JSON.
func seenEvent(e *stream.Seen, data bool) []byte {
	m := e.Message
	b := make([]byte, 0, 256)
	switch {
	case e.What == stream.Interrupted:
		b = jsontext.AppendString(append(b, `{"op":"gap","reason":`...), string(e.Reason))
	case m == nil:
		b = append(b, `{"op":"message","what":"poison"`...)
	default:
		b = jsontext.AppendString(append(b, `{"op":"message","what":`...), e.What)
		b = appendHead(b, m)
	}
	if !e.At.IsZero() {
		b = append(e.At.Append(append(b, `,"cursor":"`...)), '"')
	}
	if !e.Time.IsZero() && domain.CheckTime(e.Time) == nil {
		b = e.Time.UTC().AppendFormat(append(b, `,"logged":"`...), "2006-01-02T15:04:05.000Z07:00")
		b = append(b, '"')
	}
	if data && m != nil {
		b = appendData(b, m)
	}
	return append(b, '}')
}

// appendHead appends what a message is, without its data and headers.
func appendHead(b []byte, m *domain.Message) []byte {
	b = jsontext.AppendString(append(b, `,"id":`...), m.ID)
	b = append(b, `,"to":[`...)
	for i, t := range m.To[:min(len(m.To), shownTargets)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsontext.AppendString(b, t.String())
	}
	b = append(b, ']')
	if more := len(m.To) - shownTargets; more > 0 {
		b = strconv.AppendInt(append(b, `,"more_to":`...), int64(more), 10)
	}
	if m.From != "" {
		b = jsontext.AppendString(append(b, `,"from":`...), m.From)
	}
	if m.Type != "" {
		b = jsontext.AppendString(append(b, `,"type":`...), m.Type)
	}
	if m.TTL > 0 {
		b = strconv.AppendInt(append(b, `,"ttl":`...), int64(m.TTL/time.Second), 10)
	}
	return strconv.AppendInt(append(b, `,"bytes":`...), int64(len(m.Data)), 10)
}

// appendData appends the data: as JSON if they are that, as text or as base64.
func appendData(b []byte, m *domain.Message) []byte {
	switch m.Form() {
	case domain.JSONForm:
		return append(append(b, `,"data":`...), jsontext.OneLine(m.Data)...)
	case domain.TextForm:
		return jsontext.AppendString(append(b, `,"data":`...), string(m.Data))
	}
	return append(base64.StdEncoding.AppendEncode(append(b, `,"data_base64":"`...), m.Data), '"')
}

// frames makes the text of events, and of one that says how many were left out.
func frames(queue [][]byte, skipped int) (text []byte) {
	for _, event := range queue {
		text = append(append(append(text, "data: "...), event...), "\n\n"...)
	}
	if skipped > 0 {
		text = strconv.AppendInt(append(text, `data: {"op":"skipped","n":`...), int64(skipped), 10)
		text = append(text, "}\n\n"...)
	}
	return text
}
