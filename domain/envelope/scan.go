package envelope

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
)

// ErrSyntax marks input that is not well-formed JSON. It is a domain.ErrInvalid.
var ErrSyntax = fmt.Errorf("%w JSON", domain.ErrInvalid)

// maxDepth bounds the nesting of data, for the clients' parsers as for ours.
const maxDepth = 128

// A scanner walks over JSON text (RFC 8259) and checks it as it goes.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) fail(want string) error {
	if s.at >= len(s.text) {
		return fmt.Errorf("%w: it ends where %s was expected", ErrSyntax, want)
	}
	return fmt.Errorf("%w: at byte %d: %s was expected", ErrSyntax, s.at, want)
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte that is no space; 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// end checks that nothing but space is left.
func (s *scanner) end() error {
	if s.space(); s.at < len(s.text) {
		return s.fail("the end")
	}
	return nil
}

// object walks over an object and calls field with each name and raw value.
func (s *scanner) object(depth int, field func(name, value []byte) error) error {
	if s.peek() != '{' {
		return s.fail("an object")
	}
	s.at++
	if s.peek() == '}' {
		s.at++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.fail("a field's name")
		}
		name, err := s.value(depth + 1)
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.fail("a colon")
		}
		s.at++
		value, err := s.value(depth + 1)
		if err != nil {
			return err
		}
		if field != nil {
			if err := field(inner(name), value); err != nil {
				return err
			}
		}
		if more, err := s.more('}'); !more {
			return err
		}
	}
}

// array walks over an array and calls element with each raw value.
func (s *scanner) array(depth int, element func(value []byte) error) error {
	if s.peek() != '[' {
		return s.fail("an array")
	}
	s.at++
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for {
		value, err := s.value(depth + 1)
		if err != nil {
			return err
		}
		if element != nil {
			if err := element(value); err != nil {
				return err
			}
		}
		if more, err := s.more(']'); !more {
			return err
		}
	}
}

// more consumes a comma, or the closing bracket.
func (s *scanner) more(closing byte) (bool, error) {
	switch s.peek() {
	case ',':
		s.at++
		return true, nil
	case closing:
		s.at++
		return false, nil
	}
	return false, s.fail("a comma or " + string(closing))
}

// value walks over any value and returns its text.
func (s *scanner) value(depth int) (raw []byte, err error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d levels", ErrSyntax, maxDepth)
	}
	c := s.peek()
	start := s.at
	switch {
	case c == '"':
		err = s.str()
	case c == '{':
		err = s.object(depth, nil)
	case c == '[':
		err = s.array(depth, nil)
	case c == '-' || isDigit(c):
		err = s.number()
	default:
		err = s.literal()
	}
	return s.text[start:s.at], err
}

// str walks over a string. The text is known to be UTF-8.
func (s *scanner) str() error {
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return nil
		case c < ' ':
			return s.fail("no control character")
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
	return s.fail("a closing quote")
}

func (s *scanner) escape() error {
	s.at++
	if s.at >= len(s.text) {
		return s.fail("an escape")
	}
	switch s.text[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.at++
			if s.at >= len(s.text) || !isHex(s.text[s.at]) {
				return s.fail("a hexadecimal digit")
			}
		}
		return nil
	}
	return s.fail("an escape")
}

func (s *scanner) number() error {
	if s.text[s.at] == '-' {
		s.at++
	}
	if s.here() == '0' {
		s.at++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.here() == '.' {
		s.at++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c := s.here(); c == 'e' || c == 'E' {
		s.at++
		if c := s.here(); c == '+' || c == '-' {
			s.at++
		}
		return s.digits()
	}
	return nil
}

func (s *scanner) here() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) digits() error {
	if !isDigit(s.here()) {
		return s.fail("a digit")
	}
	for isDigit(s.here()) {
		s.at++
	}
	return nil
}

func (s *scanner) literal() error {
	for _, word := range [...]string{"true", "false", "null"} {
		if end := s.at + len(word); end <= len(s.text) && string(s.text[s.at:end]) == word {
			s.at = end
			return nil
		}
	}
	return s.fail("a value")
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// unquote returns what a valid JSON string says.
func unquote(raw []byte) string { return string(inner(raw)) }

// inner is unquote that shares memory with raw where it can.
func inner(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	_ = json.Unmarshal(raw, &s) // the scanner has checked it
	return []byte(s)
}
