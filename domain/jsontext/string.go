package jsontext

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// String returns what a JSON string says. It refuses lone surrogates such as
// "\ud83d": no UTF-8 says the same.
func String(value []byte) (string, error) {
	if said, ok := plain(value); ok {
		return string(said), nil
	}
	value = trim(value)
	if len(value) == 0 || value[0] != '"' {
		return "", notA("string", value)
	}
	if err := Valid(value); err != nil {
		return "", err
	}
	said, err := inner(value)
	return string(said), err
}

// plain returns what stands in a string of ASCII without escapes, as nearly
// all names are.
func plain(value []byte) (said []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return nil, false
	}
	said = value[1 : len(value)-1]
	for _, c := range said {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return nil, false
		}
	}
	return said, true
}

// inner returns what a string that the scanner has checked says. It shares
// memory with quoted where it can.
func inner(quoted []byte) ([]byte, error) {
	text := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return text, nil
	}
	return unescape(text)
}

// unescape returns what the inside of a valid string says.
func unescape(inner []byte) ([]byte, error) {
	out := make([]byte, 0, len(inner))
	for len(inner) > 0 {
		if inner[0] != '\\' {
			out = append(out, inner[0])
			inner = inner[1:]
			continue
		}
		c := inner[1]
		if c != 'u' {
			out = append(out, unescaped[c])
			inner = inner[2:]
			continue
		}
		r, size := codePoint(inner)
		if size == 0 {
			return nil, fmt.Errorf(`%w: %s is half a surrogate pair, which is no character`,
				ErrSyntax, inner[:6])
		}
		out = utf8.AppendRune(out, r)
		inner = inner[size:]
	}
	return out, nil
}

var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/',
	'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// codePoint reads the escape, or pair of escapes, that valid text begins with.
// The size is 0 for a lone surrogate.
func codePoint(text []byte) (r rune, size int) {
	r = unit(text)
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(text) < 12 || text[6] != '\\' || text[7] != 'u' {
		return 0, 0
	}
	if r = utf16.DecodeRune(r, unit(text[6:])); r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// unit reads \uXXXX.
func unit(text []byte) rune {
	n, _ := strconv.ParseUint(string(text[2:6]), 16, 16) // the scanner has checked it
	return rune(n)
}

// notA says that value is of another type than the one that was asked for.
func notA(want string, value []byte) error {
	if err := Valid(value); err != nil {
		return err
	}
	return fmt.Errorf("%w: want a %s", ErrType, want)
}

// trim takes off what JSON calls space.
func trim(value []byte) []byte { return bytes.Trim(value, " \t\r\n") }
