package domain

import (
	"slices"
	"strings"
)

// The content types that data has if nothing else is said about it.
const (
	JSON   = "application/json"
	Text   = "text/plain"
	Binary = "application/octet-stream"
)

// A Form is how data is written inside a JSON object.
type Form uint8

const (
	// Bytes may be anything. They are written in base64.
	Bytes Form = iota
	// TextForm is UTF-8. It is written as a JSON string.
	TextForm
	// JSONForm is one JSON value on one line. It is written verbatim.
	JSONForm
)

// FormOf returns the form that data of the content type must have. No other
// code decides what is JSON, what is text, and what is neither:
//
//   - application/json, and every type that ends in +json, is JSON;
//   - any other text/… type is text;
//   - everything else is bytes, and so is data in a charset other than UTF-8,
//     and data whose content type is no media type at all.
func FormOf(contentType string) Form {
	switch contentType { // a short cut that nearly all messages take
	case JSON:
		return JSONForm
	case Text:
		return TextForm
	case Binary, "":
		return Bytes
	}
	m, ok := ParseMediaType(contentType)
	switch {
	case !ok || !m.UTF8():
		return Bytes
	case m.Name == JSON || strings.HasSuffix(m.Name, "+json"):
		return JSONForm
	case strings.HasPrefix(m.Name, "text/"):
		return TextForm
	}
	return Bytes
}

// IsJSON reports whether data of the content type is JSON.
func IsJSON(contentType string) bool { return FormOf(contentType) == JSONForm }

// IsText reports whether data of the content type is text in UTF-8.
func IsText(contentType string) bool { return FormOf(contentType) == TextForm }

// A MediaType is the part of a media type ([RFC 9110 §8.3]) that Fanfare uses.
//
// [RFC 9110 §8.3]: https://www.rfc-editor.org/rfc/rfc9110#section-8.3
type MediaType struct {
	Name    string // type/subtype, in lower case
	Charset string // in lower case; "" if none is given
}

// UTF8 reports whether text of the media type can be read as UTF-8: its charset
// is UTF-8 or ASCII, or none is given.
func (m MediaType) UTF8() bool {
	switch m.Charset {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

// ParseMediaType reads type/subtype and the parameters after it. It is strict:
// ok is false for text that is malformed anywhere, that names a parameter twice,
// or that is longer than [MaxType]. The limit bounds the time that the
// comparison of each parameter with all others takes.
func ParseMediaType(text string) (m MediaType, ok bool) {
	if len(text) > MaxType {
		return MediaType{}, false
	}
	name, rest, _ := strings.Cut(text, ";")
	name = strings.Trim(name, " \t")
	kind, subtype, found := strings.Cut(name, "/")
	if !found || !isToken(kind) || !isToken(subtype) {
		return MediaType{}, false
	}
	m.Name = strings.ToLower(name)
	var seen []string
	for rest = trimLeft(rest); rest != ""; rest = trimLeft(rest) {
		if rest[0] == ';' { // parameters may be empty, as in "text/plain;;"
			rest = rest[1:]
			continue
		}
		var key, value string
		if key, value, rest, ok = parameter(rest); !ok || slices.Contains(seen, key) {
			return MediaType{}, false
		}
		seen = append(seen, key)
		if key == "charset" {
			m.Charset = strings.ToLower(value)
		}
		if rest = trimLeft(rest); rest != "" && rest[0] != ';' {
			return MediaType{}, false
		}
	}
	return m, true
}

func trimLeft(s string) string { return strings.TrimLeft(s, " \t") }

// parameter reads name=token or name="quoted string".
func parameter(text string) (name, value, rest string, ok bool) {
	name, rest, ok = strings.Cut(text, "=")
	if !ok || !isToken(name) {
		return "", "", "", false
	}
	name = strings.ToLower(name)
	if rest == "" || rest[0] != '"' {
		end := strings.IndexAny(rest, "; \t")
		if end < 0 {
			end = len(rest)
		}
		return name, rest[:end], rest[end:], isToken(rest[:end])
	}
	value, rest, ok = quoted(rest[1:])
	return name, value, rest, ok
}

// quoted reads the rest of a quoted string, up to the quote that ends it.
func quoted(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"':
			return b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text):
			i++
			c = text[i]
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			break
		}
		b.WriteByte(c)
	}
	return "", "", false
}

// isToken reports whether s is a token ([RFC 9110 §5.6.2]).
//
// [RFC 9110 §5.6.2]: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
