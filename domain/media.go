package domain

import (
	"slices"
	"strings"
)

// Content types with a meaning of their own.
const (
	JSON   = "application/json"
	Text   = "text/plain"
	Binary = "application/octet-stream"
)

// A Form is how data is written where it travels in JSON.
type Form uint8

const (
	// Bytes are anything, and are written in base64.
	Bytes Form = iota
	// TextForm is UTF-8, and is written as a string.
	TextForm
	// JSONForm is one JSON value on one line, and is written as it is.
	JSONForm
)

// FormOf is the form that data of the content type has to have. It is the one
// rule for what is JSON, what is text, and what is neither:
//
//   - application/json and every type that ends in +json is JSON;
//   - any other text/… type is text;
//   - but what is said to be in another charset than UTF-8 is bytes, as is
//     everything else, and what is no media type at all.
func FormOf(contentType string) Form {
	switch contentType { // nearly all messages
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

// IsJSON says whether data of the content type is JSON.
func IsJSON(contentType string) bool { return FormOf(contentType) == JSONForm }

// IsText says whether data of the content type is text, which must be UTF-8.
func IsText(contentType string) bool { return FormOf(contentType) == TextForm }

// A MediaType is what matters to us of a media type (RFC 9110 §8.3).
type MediaType struct {
	Name    string // type/subtype, in lower case
	Charset string // in lower case; "" if it is not said
}

// UTF8 says whether the charset, if one is said, is UTF-8 or the part of it that
// is ASCII.
func (m MediaType) UTF8() bool {
	switch m.Charset {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

// ParseMediaType reads type/subtype and the parameters behind it. It is strict:
// what is malformed anywhere, or names a parameter twice, is no media type. Nor
// is what is longer than MaxType: each parameter is compared with all others.
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
		if rest[0] == ';' { // a parameter may be empty
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

// quoted reads up to the quote that ends a quoted string.
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

// isToken says whether s is a token (RFC 9110 §5.6.2).
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
