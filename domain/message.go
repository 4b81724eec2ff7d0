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

// A Message is what a business system tells its users. It is read only once
// it has been published or delivered: many sessions share it.
type Message struct {
	// ID tells a message from a repetition of it. Empty on arrival means that
	// the publisher gave none; the stream then derives one from the position.
	ID string
	// To is whom it is for: 1 to MaxTargets targets.
	To []Target
	// Type is the application's name for what happened, such as "order.paid".
	Type string
	// Data is the payload, as its content type promises: one JSON value without
	// raw line breaks, UTF-8, or any bytes. SetData sees to it, Check says
	// whether it is so, and Form says how it may be written.
	Data []byte
	// ContentType is a media type, or what its publisher takes for one; it is
	// never empty in a message that was decoded.
	ContentType string
	// Time is when it happened, by the publisher's clock; zero if not said. Its
	// year is 0 to 9999 in UTC, which is what RFC 3339 can say.
	Time time.Time
	// TTL is how long after its time in the log it is worth delivering; zero
	// means always. Whole seconds on the wire.
	TTL time.Duration
	// Headers are the application's own.
	Headers map[string]string
	// From is the user who sent it through a node; empty for services.
	From string
	// Session is the session it was sent from. Business services see it, other
	// users do not.
	Session string

	proof proof // of Data
}

// Limits of a message's small parts.
const (
	MaxID      = 256 // bytes
	MaxType    = 256 // bytes; also of a content type
	MaxHeaders = 64  // entries; a name and its value have at most 4 KiB
	MaxTTL     = 366 * 24 * time.Hour
)

// Check says what is wrong with the message, as a FieldError with the field's
// wire name. A message that passes can be written and read again, on any bus.
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
	for _, f := range []struct {
		name, value string
		most        int
	}{{"id", m.ID, MaxID}, {"type", m.Type, MaxType}, {"content_type", m.ContentType, MaxType},
		{"from", m.From, MaxName}, {"session", m.Session, MaxName}} {
		if err := checkText(f.name, f.value, f.most); err != nil {
			return err
		}
	}
	if err := CheckTime(m.Time); err != nil {
		return At("time", err)
	}
	if m.TTL < 0 || m.TTL > MaxTTL {
		return invalid("ttl", "want 0 to %d seconds", int(MaxTTL/time.Second))
	}
	if len(m.Headers) > MaxHeaders {
		return invalid("headers", "at most %d, got %d", MaxHeaders, len(m.Headers))
	}
	for k, v := range m.Headers {
		if len(k)+len(v) > 4096 || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return invalid("headers", "%q: want valid UTF-8 of at most 4096 bytes, name and value together", clip(k))
		}
	}
	if m.Form() != FormOf(m.ContentType) {
		return invalid("data", "is not what the content type %s says", clip(m.ContentType))
	}
	return nil
}

// CheckTime says whether RFC 3339 can say the time.
func CheckTime(t time.Time) error {
	if year := t.UTC().Year(); year < 0 || year > 9999 {
		return invalid("", "the year %d in UTC is not within 0 to 9999", year)
	}
	return nil
}

// Equal says whether two messages say the same.
func (m Message) Equal(other Message) bool {
	return m.ID == other.ID && slices.Equal(m.To, other.To) && m.Type == other.Type &&
		m.ContentType == other.ContentType && bytes.Equal(m.Data, other.Data) &&
		m.Time.Equal(other.Time) && m.TTL == other.TTL && maps.Equal(m.Headers, other.Headers) &&
		m.From == other.From && m.Session == other.Session
}

// Expired says whether the message, logged at the given time, is past its TTL.
func (m *Message) Expired(logged, now time.Time) bool {
	return m.TTL > 0 && now.Sub(logged) > m.TTL
}

// Size is about how many bytes of the heap the message keeps alive.
func (m *Message) Size() int {
	const itself, target, header = 176, 16, 48
	n := itself + HeapSize(len(m.Data)) + HeapSize(target*len(m.To))
	for _, s := range [...]string{m.ID, m.Type, m.From, m.Session} {
		n += HeapSize(len(s))
	}
	if m.ContentType != JSON && m.ContentType != Text && m.ContentType != Binary {
		n += HeapSize(len(m.ContentType))
	}
	for _, t := range m.To {
		n += HeapSize(len(t.text))
	}
	if len(m.Headers) > 0 {
		n += 360 // a map of up to eight
	}
	for k, v := range m.Headers {
		n += HeapSize(len(k)) + HeapSize(len(v))
	}
	if len(m.Headers) > 8 {
		n += header * len(m.Headers)
	}
	return n
}

// HeapSize is about what an allocation of n bytes takes.
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

func checkText(field, s string, most int) error {
	if len(s) > most {
		return invalid(field, "at most %d bytes, got %d", most, len(s))
	}
	if !isPrintable(s) {
		return invalid(field, "want valid UTF-8 without control characters")
	}
	return nil
}

// isPrintable says whether s is valid UTF-8 without control characters.
func isPrintable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
		}
	}
	return true
}
