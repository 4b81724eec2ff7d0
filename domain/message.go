package domain

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Message is what a business system tells its users. A Message must not be
// changed once it has been published or delivered, since many sessions share it.
type Message struct {
	// ID identifies the message: a second message with the same ID and the same
	// content is a repetition, which is not delivered. With other content it is
	// delivered, and counted as a conflict. ID is empty if the publisher gave none; the stream then
	// derives one from the position.
	ID string
	// To is whom the message is for: 1 to [MaxTargets] targets.
	To []Target
	// Type is the application's name for what happened, such as "order.paid".
	Type string
	// Data is the payload. Its content type says what it is: one JSON value
	// without raw line breaks, UTF-8 text, or any bytes. [Message.SetData]
	// enforces that, [Message.Check] checks it, and [Message.Form] says how the
	// data may be written.
	Data []byte
	// ContentType is a media type, or whatever the publisher wrote in its
	// place. It is never empty in a message that was decoded.
	ContentType string
	// Time is when the event happened, by the publisher's clock; zero if the
	// publisher did not say. Its year is 0 to 9999 in UTC, the range of RFC
	// 3339.
	Time time.Time
	// TTL is how long the message is worth delivering, counted from the time at
	// which the log took it. Zero means forever. On the wire it has whole
	// seconds.
	TTL time.Duration
	// Headers belong to the application. The domain does not interpret them.
	Headers map[string]string
	// From is the user who sent the message through a node; it is empty if a
	// service published it.
	From string
	// Session is the session that the message was sent from. Business services
	// see it, other users do not.
	Session string
	// Traceparent says which trace the message belongs to, as [CheckTraceparent]
	// wants it; it is empty for none. It does not count as content.
	Traceparent string
	// Receipt says that the publisher wants to know who has handled the message. It
	// does not count as content.
	Receipt bool

	checked checkedData // which Data was checked, and for which form
}

// Limits of a message's small parts.
const (
	MaxID      = 256                  // longest id, in bytes
	MaxType    = 256                  // longest type or content type, in bytes
	MaxHeaders = 64                   // most headers of one message
	MaxTTL     = 366 * 24 * time.Hour // longest TTL

	maxHeader = 4096 // bytes of one header, its name and value together
)

// Check returns what is wrong with the message as a [FieldError] whose path is
// the field's name on the wire. A message that passes can be written to any bus
// and read back.
func (m *Message) Check() error {
	if len(m.To) == 0 {
		return invalid("to", "a message needs at least one target")
	}
	if len(m.To) > MaxTargets {
		return invalid("to", "at most %d targets, got %d", MaxTargets, len(m.To))
	}
	for i, t := range m.To {
		if t == (Target{}) {
			return invalid(fmt.Sprintf("to[%d]", i), "empty target")
		}
	}
	if err := m.checkTexts(); err != nil {
		return err
	}
	if err := CheckTime(m.Time); err != nil {
		return At("time", err)
	}
	if err := CheckTraceparent(m.Traceparent); err != nil {
		return At("traceparent", err)
	}
	if m.TTL < 0 || m.TTL > MaxTTL {
		return invalid("ttl", "want 0 to %d seconds", int(MaxTTL/time.Second))
	}
	if len(m.Headers) > MaxHeaders {
		return invalid("headers", "at most %d, got %d", MaxHeaders, len(m.Headers))
	}
	for name, value := range m.Headers {
		if len(name)+len(value) > maxHeader || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return invalid("headers",
				"%q: want valid UTF-8 of at most %d bytes, name and value together", clip(name), maxHeader)
		}
	}
	if m.Form() != FormOf(m.ContentType) {
		return invalid("data", "is not what the content type %s says", clip(m.ContentType))
	}
	return nil
}

// checkTexts checks the short texts of a message one after the other, as this is on
// the way of every message.
func (m *Message) checkTexts() error {
	if err := checkText("id", m.ID, MaxID); err != nil {
		return err
	}
	if err := checkText("type", m.Type, MaxType); err != nil {
		return err
	}
	if err := checkText("content_type", m.ContentType, MaxType); err != nil {
		return err
	}
	if err := checkText("from", m.From, MaxName); err != nil {
		return err
	}
	return checkText("session", m.Session, MaxName)
}

// CheckTime returns a [FieldError] without a path if RFC 3339 cannot express
// the time, since its years have four digits.
func CheckTime(t time.Time) error {
	if t.IsZero() { // a short cut for the messages without a time
		return nil
	}
	if year := t.UTC().Year(); year < 0 || year > 9999 {
		return invalid("", "the year %d in UTC is not within 0 to 9999", year)
	}
	return nil
}

// Equal reports whether two messages are the same in all fields. It compares times
// as instants.
func (m Message) Equal(other Message) bool {
	return m.ID == other.ID && slices.Equal(m.To, other.To) && m.Type == other.Type &&
		m.ContentType == other.ContentType && bytes.Equal(m.Data, other.Data) &&
		m.Time.Equal(other.Time) && m.TTL == other.TTL && maps.Equal(m.Headers, other.Headers) &&
		m.From == other.From && m.Session == other.Session &&
		m.Traceparent == other.Traceparent && m.Receipt == other.Receipt
}

// Expired reports whether the message is past its TTL at the time now, if the
// log took it at the time logged.
func (m *Message) Expired(logged, now time.Time) bool {
	return m.TTL > 0 && now.Sub(logged) > m.TTL
}

// Clone returns a copy that shares no memory with m, so that it does not keep
// alive what m was read from.
func (m *Message) Clone() *Message {
	c := *m
	for _, s := range [...]*string{&c.ID, &c.Type, &c.ContentType, &c.From, &c.Session, &c.Traceparent} {
		*s = strings.Clone(*s)
	}
	c.To = make([]Target, len(m.To))
	for i, t := range m.To {
		c.To[i] = Target{strings.Clone(t.text)}
	}
	if m.Headers != nil {
		c.Headers = make(map[string]string, len(m.Headers))
		for name, value := range m.Headers {
			c.Headers[strings.Clone(name)] = strings.Clone(value)
		}
	}
	c.Data = bytes.Clone(m.Data)
	if m.checked.covers(m.checked.form, m.Data) {
		c.checked.first = &c.Data[0]
	}
	return &c
}

// Size estimates how many bytes of the heap the message keeps alive.
func (m *Message) Size() int {
	const (
		message  = 200 // the struct itself
		target   = 16  // one element of To
		smallMap = 360 // a map of up to eight headers
		header   = 48  // one entry of a larger map
	)
	n := message + HeapSize(len(m.Data)) + HeapSize(target*len(m.To))
	for _, s := range [...]string{m.ID, m.Type, m.From, m.Session, m.Traceparent} {
		n += HeapSize(len(s))
	}
	if m.ContentType != JSON && m.ContentType != Text && m.ContentType != Binary {
		n += HeapSize(len(m.ContentType))
	}
	for _, t := range m.To {
		n += HeapSize(len(t.text))
	}
	if len(m.Headers) > 0 {
		n += smallMap
	}
	for name, value := range m.Headers {
		n += HeapSize(len(name)) + HeapSize(len(value))
	}
	if len(m.Headers) > 8 {
		n += header * len(m.Headers)
	}
	return n
}

// HeapSize estimates how many bytes an allocation of n bytes takes from the
// heap, whose size classes round up.
func HeapSize(n int) int {
	switch {
	case n <= 0:
		return 0
	case n <= 8:
		return 8
	case n <= 128:
		return (n + 15) &^ 15
	}
	return n + n/16
}

func checkText(field, s string, limit int) error {
	if len(s) > limit {
		return invalid(field, "at most %d bytes, got %d", limit, len(s))
	}
	if !isPrintable(s) {
		return invalid(field, "want valid UTF-8 without control characters")
	}
	return nil
}

// isPrintable reports whether s is valid UTF-8 without control characters.
func isPrintable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
		}
	}
	return true
}
