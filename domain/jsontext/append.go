package jsontext

import "unicode/utf8"

// AppendString appends s to b as a JSON string: in quotes, with the escapes that
// [RFC 8259 §7] demands and no others. Every control character but \n, \r and \t is
// written as \u00XX. Bytes that are not UTF-8 become U+FFFD. Clients are sent
// strings in this form.
//
// [RFC 8259 §7]: https://www.rfc-editor.org/rfc/rfc8259#section-7
func AppendString[T string | []byte](b []byte, s T) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendEscaped(b, s, i, demanded)
		}
	}
	return appendVerbatim(b, s)
}

// AppendMarshaled appends s to b as [encoding/json.Marshal] does, except that it
// leaves ASCII as it is, even <, > and &, if nothing in all of s has to be escaped.
// Otherwise it also escapes <, >, & and the line separators U+2028 and U+2029. So
// programs that take U+2028 for the end of a line still find each string on one
// line. The bus and the HTTP API have strings in this form.
func AppendMarshaled[T string | []byte](b []byte, s T) []byte {
	for i := range len(s) {
		// DEL needs no escape, but it has always been treated like one that does.
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return appendEscaped(b, s, 0, marshaled) // from 0: there may be a < before i
		}
	}
	return appendVerbatim(b, s)
}

func appendVerbatim[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// escapes says which characters are escaped, and how.
type escapes uint8

const (
	demanded  escapes = iota // see AppendString
	marshaled                // see AppendMarshaled
)

// notVerbatim says of each byte whether appendEscaped cannot simply copy it: it is
// escaped, or it belongs to a character beyond ASCII, which has to be decoded first.
// The table makes the loop up to a quarter faster than comparisons do.
var notVerbatim = func() (t [2][256]bool) {
	for c := range 256 {
		special := c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf
		t[demanded][c] = special
		t[marshaled][c] = special || c == '<' || c == '>' || c == '&'
	}
	return t
}()

// isSeparator reports whether some programs take r for the end of a line, although
// JSON does not.
func isSeparator(r rune) bool { return r == '\u2028' || r == '\u2029' }

// appendEscaped appends s as a JSON string. Its first i bytes are known to be ASCII
// that needs no escape.
func appendEscaped[T string | []byte](b []byte, s T, i int, e escapes) []byte {
	b = append(b, '"')
	special := &notVerbatim[e]
	start := 0 // of what is not appended yet
	for i < len(s) {
		c := s[i]
		if !special[c] {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = decodeRune(s[i:])
			if (r != utf8.RuneError || size > 1) && !(e == marshaled && isSeparator(r)) {
				i += size
				continue
			}
		}
		b = append(b, s[start:i]...)
		b = appendEscape(b, r, e)
		i += size
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// appendEscape appends what is written for a character that is escaped. U+FFFD is
// written for a byte that is not UTF-8.
func appendEscape(b []byte, r rune, e escapes) []byte {
	const hex = "0123456789abcdef"
	switch {
	case r == '"' || r == '\\':
		return append(b, '\\', byte(r))
	case r == '\n':
		return append(b, '\\', 'n')
	case r == '\r':
		return append(b, '\\', 'r')
	case r == '\t':
		return append(b, '\\', 't')
	case r == '\b' && e == marshaled:
		return append(b, '\\', 'b')
	case r == '\f' && e == marshaled:
		return append(b, '\\', 'f')
	case r == utf8.RuneError && e == demanded:
		return utf8.AppendRune(b, r)
	}
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

func decodeRune[T string | []byte](s T) (rune, int) {
	return utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
}
