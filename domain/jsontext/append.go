package jsontext

import "unicode/utf8"

// AppendString appends s to b as a JSON string: in quotes, with the escapes that
// [RFC 8259 §7] demands and no others. Bytes that are not UTF-8 become U+FFFD.
//
// [RFC 8259 §7]: https://www.rfc-editor.org/rfc/rfc8259#section-7
func AppendString[T string | []byte](b []byte, s T) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendEscaped(b, s, i)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendEscaped is AppendString for a string of which the first i bytes are
// known to be ASCII that needs no escape.
func appendEscaped[T string | []byte](b []byte, s T, i int) []byte {
	b = append(b, '"')
	start := 0 // of what is not appended yet
	for i < len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = decodeRune(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		b = append(b, s[start:i]...)
		b = appendEscape(b, c)
		i += size
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// appendEscape appends what stands for a byte that cannot stand in a string
// itself. A byte that is not ASCII is no UTF-8 here.
func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch {
	case c >= utf8.RuneSelf:
		return append(b, "\ufffd"...)
	case c == '"' || c == '\\':
		return append(b, '\\', c)
	case c == '\n':
		return append(b, '\\', 'n')
	case c == '\r':
		return append(b, '\\', 'r')
	case c == '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

func decodeRune[T string | []byte](s T) (rune, int) {
	return utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
}
