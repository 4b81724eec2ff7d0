package jsontext

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// String decodes a JSON string. It refuses lone surrogates such as "\ud83d",
// since UTF-8 cannot express them.
func String(value []byte) (string, error) {
	if s, ok := plain(value); ok {
		return string(s), nil
	}
	value = trim(value)
	if len(value) == 0 || value[0] != '"' {
		return "", notA("string", value)
	}
	if err := Valid(value); err != nil {
		return "", err
	}
	s, err := unquote(value)
	return string(s), err
}

// Text is [String] for a value that a function of this package has handed over,
// and so without white space around it. It does not validate the value again, nor
// copy it: the result may share memory with value.
func Text(value []byte) ([]byte, error) {
	if len(value) < 2 || value[0] != '"' {
		return nil, fmt.Errorf("%w: want a string", ErrType)
	}
	return unquote(value)
}

// plain decodes a string if it is ASCII without escapes, as nearly all names
// are. The result shares memory with value.
func plain(value []byte) (s []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return nil, false
	}
	s = value[1 : len(value)-1]
	for _, c := range s {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return nil, false
		}
	}
	return s, true
}

// unquote decodes a string that the scanner has validated. The result shares
// memory with quoted if the string has no escapes.
func unquote(quoted []byte) ([]byte, error) {
	text := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return text, nil
	}
	return unescape(text)
}

// unescape decodes the text between the quotes of a valid string.
func unescape(text []byte) ([]byte, error) {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		if text[0] != '\\' {
			out = append(out, text[0])
			text = text[1:]
			continue
		}
		c := text[1]
		if c != 'u' {
			out = append(out, unescaped[c])
			text = text[2:]
			continue
		}
		r, size := codePoint(text)
		if size == 0 {
			return nil, fmt.Errorf(`%w: %s is half a surrogate pair, which is no character`,
				ErrSyntax, text[:6])
		}
		out = utf8.AppendRune(out, r)
		text = text[size:]
	}
	return out, nil
}

var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/',
	'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// codePoint decodes the \u escape, or the pair of them, that valid text begins
// with. The size is that of the escapes in bytes, or 0 for a lone surrogate.
func codePoint(text []byte) (r rune, size int) {
	r = codeUnit(text)
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(text) < 12 || text[6] != '\\' || text[7] != 'u' {
		return 0, 0
	}
	if r = utf16.DecodeRune(r, codeUnit(text[6:])); r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// codeUnit decodes the UTF-16 code unit \uXXXX that text begins with.
func codeUnit(text []byte) rune {
	n, _ := strconv.ParseUint(string(text[2:6]), 16, 16) // the scanner has validated it
	return rune(n)
}

// ordinary counts the bytes up to the first quote, backslash or control character. It
// looks at eight bytes at once, as data is mostly long strings (see hasless in
// [Bit Twiddling Hacks]).
//
// [Bit Twiddling Hacks]: https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord
func ordinary(text []byte) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(text)-n >= 8; n += 8 {
		// The lowest high bit in (word - k*ones) &^ word is that of the first byte less
		// than k, for k up to 128. A byte equals c if it is less than 1 after an
		// exclusive or with c.
		word := binary.LittleEndian.Uint64(text[n:])
		quote, backslash := word^('"'*ones), word^('\\'*ones)
		found := (word-' '*ones)&^word | (quote-ones)&^quote | (backslash-ones)&^backslash
		if found &= high; found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for n < len(text) && text[n] >= ' ' && text[n] != '"' && text[n] != '\\' {
		n++
	}
	return n
}

// notA returns an ErrType for a value that is not of the type that the caller
// wants, or an ErrSyntax if it is no JSON value at all.
func notA(want string, value []byte) error {
	if err := Valid(value); err != nil {
		return err
	}
	return fmt.Errorf("%w: want a %s", ErrType, want)
}

// trim removes white space, as JSON defines it, from both ends.
func trim(value []byte) []byte {
	if n := len(value); n > 0 && value[0] > ' ' && value[n-1] > ' ' {
		return value
	}
	return bytes.Trim(value, " \t\r\n")
}
