package history

import (
	"encoding/binary"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A record is an entry that is to be encoded: a message; or, with message nil, a
// gap; or, with reason empty as well, a move.
type record struct {
	point   Point
	added   time.Time
	message *domain.Message
	reason  domain.GapReason
}

// Flags are what an encoded entry begins with: which of its parts follow, and
// usual values that need no bytes.
type flags uint16

const flagsSize = 2

const (
	isMessage flags = 1 << iota
	isGap
	hasTime
	otherLog
	idOfMessage // the cursor's id is the hash of the message's
	otherID
	hasOrigins
	hasTTL
	timeOfLog // the message's time is that of the log
	otherTime
	hasSender   // sender, session and headers, or some of these
	noData      // nil, which is not the same as empty
	formChecked // the data are known to have the form that the content type promises

	contentType flags = 3 << 13 // see usualTypes
	hasExtras   flags = 1 << 15 // rare parts, see extras
)

// Extras are which of the rare parts of a message follow.
type extras byte

const (
	hasTraceparent extras = 1 << iota
	wantsReceipt
)

// usualTypes are content types that take no bytes. The first stands for all
// others.
var usualTypes = [4]string{"", domain.JSON, domain.Text, domain.Binary}

// appendEntry appends an entry that is to be in a chunk, or the chunk's first.
// Encoded, it is
//
//	flags     2 bytes
//	position  text
//	targets   see [targets]; of messages only
//	time      milliseconds since that of the chunk's first entry, if there is one
//	added     nanoseconds since that of the chunk's first entry
//	log       8 bytes, if it is another than the first entry's
//	id        8 bytes, the cursor's, unless it is 0 or follows from the message's id
//	origins   their number; for each, a log and a position
//	reason    text; of gaps only
//
// and, of messages only, what [Entry.Read] reads: id, type, ttl, time,
// content type, sender, extras, data. A text is its length and its bytes. Numbers are
// varints, except for links and where bytes are given.
func appendEntry(b []byte, e *record, c *chunk, x *index) []byte {
	p := &e.point
	f := e.flags(c)
	b = binary.LittleEndian.AppendUint16(b, uint16(f))
	b = appendText(b, p.Position)
	if e.message != nil {
		b = appendTargets(b, e.message.To, x)
	}
	if f&hasTime != 0 {
		b = binary.AppendVarint(b, p.Time.UnixMilli()-c.time)
	}
	b = binary.AppendVarint(b, int64(e.added.Sub(c.added)))
	if f&otherLog != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(p.Log))
	}
	if f&otherID != 0 {
		b = binary.LittleEndian.AppendUint64(b, p.ID)
	}
	if f&hasOrigins != 0 {
		b = binary.AppendUvarint(b, uint64(len(p.Origins)))
		for _, o := range p.Origins {
			b = binary.LittleEndian.AppendUint64(b, uint64(o.Log))
			b = appendText(b, o.Position)
		}
	}
	if f&isGap != 0 {
		b = appendText(b, e.reason)
	}
	if e.message != nil {
		b = appendMessage(b, e.message, f)
	}
	return b
}

func appendMessage(b []byte, m *domain.Message, f flags) []byte {
	b = appendText(b, m.ID)
	b = appendText(b, m.Type)
	if f&hasTTL != 0 {
		b = binary.AppendUvarint(b, uint64(m.TTL))
	}
	if f&otherTime != 0 {
		b = binary.AppendVarint(b, m.Time.Unix())
		b = binary.AppendUvarint(b, uint64(m.Time.Nanosecond()))
	}
	if f&contentType == 0 {
		b = appendText(b, m.ContentType)
	}
	if f&hasSender != 0 {
		b = appendText(b, m.From)
		b = appendText(b, m.Session)
		b = binary.AppendUvarint(b, uint64(len(m.Headers)))
		for name, value := range m.Headers {
			b = appendText(b, name)
			b = appendText(b, value)
		}
	}
	if f&hasExtras != 0 {
		b = appendExtras(b, m)
	}
	return appendText(b, m.Data)
}

func appendExtras(b []byte, m *domain.Message) []byte {
	var x extras
	if m.Traceparent != "" {
		x |= hasTraceparent
	}
	if m.Receipt {
		x |= wantsReceipt
	}
	b = append(b, byte(x))
	if m.Traceparent != "" {
		b = appendText(b, m.Traceparent)
	}
	return b
}

func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// flags says how the entry is encoded in the chunk.
func (e *record) flags(c *chunk) (f flags) {
	p := &e.point
	f.set(hasTime, !p.Time.IsZero())
	f.set(otherLog, p.Log != c.log)
	f.set(hasOrigins, len(p.Origins) > 0)
	if e.message == nil {
		f.set(isGap, e.reason != "")
		f.set(otherID, p.ID != 0)
		return f
	}
	m := e.message
	f |= isMessage
	idFollows := p.ID != 0 && p.ID == domain.HashID(m.ID)
	f.set(idOfMessage, idFollows)
	f.set(otherID, p.ID != 0 && !idFollows)
	f.set(hasTTL, m.TTL != 0)
	f.set(timeOfLog, m.Time.Equal(p.Time) && !p.Time.IsZero())
	f.set(otherTime, f&timeOfLog == 0 && !m.Time.IsZero())
	f.set(hasSender, m.From != "" || m.Session != "" || len(m.Headers) > 0)
	f.set(hasExtras, m.Traceparent != "" || m.Receipt)
	f.set(noData, m.Data == nil)
	f.set(formChecked, m.Checked())
	for i, usual := range usualTypes {
		if m.ContentType == usual {
			f |= flags(i) << 13
		}
	}
	return f
}

func (f *flags) set(bit flags, on bool) {
	if on {
		*f |= bit
	}
}
