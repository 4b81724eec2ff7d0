package history

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// An Entry is a message, a gap, or the point at which the bus was moved, as it
// stands in the window. It is good until the History changes. What its methods
// return points into the window: clone what is to be kept, see [Point.Clone].
type Entry struct {
	data  []byte
	chunk *chunk
	flags flags
}

// IsMessage reports whether the entry is a message.
func (e *Entry) IsMessage() bool { return e.flags&isMessage != 0 }

// IsGap reports whether the entry is a gap.
func (e *Entry) IsGap() bool { return e.flags&isGap != 0 }

// Point returns where the entry is.
func (e *Entry) Point() Point {
	p, r := e.readPoint()
	if e.flags&idOfMessage != 0 {
		p.ID = domain.HashID(r.text())
	}
	return p
}

// Reason returns why there is a gap; "" if the entry is none.
func (e *Entry) Reason() domain.GapReason {
	if !e.IsGap() {
		return ""
	}
	_, r := e.readPoint()
	return domain.GapReason(strings.Clone(r.text()))
}

// Expired reports whether the entry's message is past its ttl. A ttl counts
// from the entry's time in the log, but not from one that was still to come
// when this node received the entry.
func (e *Entry) Expired(now time.Time) bool {
	if e.flags&hasTTL == 0 { // few have one
		return false
	}
	p, r := e.readPoint()
	r.skipText() // id
	r.skipText() // type
	m := domain.Message{TTL: time.Duration(r.uvarint())}
	since := p.Time
	if added := e.added(); since.After(added) {
		since = added
	}
	return m.Expired(since, now)
}

// WantsReceipt reports whether the entry's message wants a receipt.
func (e *Entry) WantsReceipt() bool {
	if e.flags&hasExtras == 0 { // few have them
		return false
	}
	var m domain.Message
	e.Read(&m)
	return m.Receipt
}

// Read reads the message of an entry into m, but for its targets: To is nil. It
// returns where the entry is.
func (e *Entry) Read(m *domain.Message) Point {
	p, r := e.readPoint()
	f := e.flags
	// Field by field, and only where there is something to change: to write
	// pointers costs the more the busier the garbage collector is.
	m.ID, m.Type = r.text(), r.text()
	if f&idOfMessage != 0 {
		p.ID = domain.HashID(m.ID)
	}
	m.TTL, m.Time = 0, time.Time{}
	if f&hasTTL != 0 {
		m.TTL = time.Duration(r.uvarint())
	}
	switch {
	case f&otherTime != 0:
		m.Time = time.Unix(r.varint(), int64(r.uvarint())).UTC()
	case f&timeOfLog != 0:
		m.Time = p.Time
	}
	kind := usualTypes[f&contentType>>13]
	if kind == "" {
		kind = r.text()
	}
	if f&hasSender != 0 {
		m.From, m.Session, m.Headers = r.text(), r.text(), r.headers()
	} else if m.From != "" || m.Session != "" || m.Headers != nil {
		m.From, m.Session, m.Headers = "", "", nil
	}
	if f&hasExtras != 0 {
		r.extras(m)
	} else if m.Traceparent != "" || m.Receipt {
		m.Traceparent, m.Receipt = "", false
	}
	data := r.bytes()
	if f&noData != 0 {
		data = nil
	}
	if f&formChecked != 0 {
		m.SetChecked(kind, data)
	} else {
		m.ContentType, m.Data = kind, data
	}
	return p
}

// position returns the entry's position, and the reader of what follows it.
func (e *Entry) position() (domain.Position, reader) {
	r := reader{e.data, flagsSize}
	return domain.Position(r.text()), r
}

// targets returns the targets of a message.
func (e *Entry) targets() targets {
	r := reader{e.data, flagsSize}
	r.skipText() // position
	return targets{r}
}

// readTime reads past the targets, and the time in the log.
func (e *Entry) readTime(r *reader) (t time.Time) {
	if e.flags&isMessage != 0 {
		r.skipTargets()
	}
	if e.flags&hasTime != 0 {
		t = time.UnixMilli(e.chunk.time + r.varint()).UTC()
	}
	return t
}

// added returns when the entry was received.
func (e *Entry) added() time.Time {
	_, r := e.position()
	e.readTime(&r)
	return e.chunk.added.Add(time.Duration(r.varint()))
}

// readPoint reads the point, but for an id that is the message's, and returns
// the reader of what follows.
func (e *Entry) readPoint() (p Point, r reader) {
	p.Position, r = e.position()
	p.Time = e.readTime(&r)
	r.varint() // when it was received
	p.Log = e.chunk.log
	if e.flags&otherLog != 0 {
		p.Log = domain.LogID(r.uint64())
	}
	if e.flags&otherID != 0 {
		p.ID = r.uint64()
	}
	if e.flags&hasOrigins != 0 {
		p.Origins = make([]domain.Location, r.uvarint())
		for i := range p.Origins {
			p.Origins[i] = domain.Location{Log: domain.LogID(r.uint64()), Position: domain.Position(r.text())}
		}
	}
	return p, r
}

// A reader reads what appendEntry has written, and nothing else. It moves an
// offset and not the slice, which would cost a write barrier each time.
type reader struct {
	data []byte
	at   int
}

func (r *reader) uint32() uint32 {
	r.at += 4
	return binary.LittleEndian.Uint32(r.data[r.at-4:])
}

func (r *reader) uint64() uint64 {
	r.at += 8
	return binary.LittleEndian.Uint64(r.data[r.at-8:])
}

func (r *reader) uvarint() uint64 {
	if b := r.data[r.at]; b < 0x80 { // most are short
		r.at++
		return uint64(b)
	}
	return r.longUvarint()
}

func (r *reader) longUvarint() uint64 {
	v, n := binary.Uvarint(r.data[r.at:])
	r.at += n
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) bytes() []byte {
	n := int(r.uvarint())
	r.at += n
	return r.data[r.at-n : r.at : r.at]
}

func (r *reader) text() string { return text(r.bytes()) }

func (r *reader) skipText() {
	n := int(r.uvarint()) // not within the sum: Go does not say which operand comes first
	r.at += n
}

func (r *reader) extras(m *domain.Message) {
	x := extras(r.data[r.at])
	r.at++
	m.Traceparent, m.Receipt = "", x&wantsReceipt != 0
	if x&hasTraceparent != 0 {
		m.Traceparent = r.text()
	}
}

// headers reads them; nil if there are none.
func (r *reader) headers() map[string]string {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	all := make(map[string]string, n)
	for ; n > 0; n-- {
		name := r.text()
		all[name] = r.text()
	}
	return all
}
