package jsontext

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrSyntax means that text is not well-formed JSON, or that this package
// refuses it because two readers could understand it differently.
var ErrSyntax = errors.New("invalid JSON")

// MaxDepth bounds how deep arrays and objects may be nested in each other. It
// protects our own recursive parser and those of the clients. The object that
// [Object] reads does not count, so each of its values may be as deep as
// [Valid] allows. Nor do the array that [Array] reads and the objects in it.
const MaxDepth = 128

// skimDepth is the bound for [Values], which only finds where a value ends. It
// is higher so that a caller can still read parts of a request, such as its id,
// although another part is nested too deep.
const skimDepth = 8 * MaxDepth

// outermost is the depth of an array whose elements the caller may read as
// objects, each of which does not count either.
const outermost = -1

// A scanner walks over JSON text and validates it on the way.
type scanner struct {
	text     []byte // known to be UTF-8
	at       int    // offset of the next byte
	maxDepth int
}

func scan(text []byte) (scanner, error) {
	if !utf8.Valid(text) {
		return scanner{}, fmt.Errorf("%w: it is not UTF-8", ErrSyntax)
	}
	return scanner{text: text, maxDepth: MaxDepth}, nil
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

// peek skips white space and returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	if s.here() <= ' ' {
		s.space()
	}
	return s.here()
}

// end checks that nothing but white space is left.
func (s *scanner) end() error {
	if s.space(); s.at < len(s.text) {
		return s.fail("the end")
	}
	return nil
}

// object walks over an object that is nested in depth others. It calls field,
// unless that is nil, with each name, quoted and escaped as in the text, and
// with the text of each value.
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
		name, err := s.value(depth)
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.fail("a colon")
		}
		s.at++
		value, err := s.value(depth)
		if err != nil {
			return err
		}
		if field != nil {
			if err := field(name, value); err != nil {
				return err
			}
		}
		if more, err := s.more('}'); !more {
			return err
		}
	}
}

// array walks over an array that is nested in depth others. It calls element,
// unless that is nil, with the text of each value.
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
		value, err := s.value(depth)
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

// more consumes a comma or the closing bracket, and reports whether it was a
// comma.
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

// value walks over a value of any type that is nested in depth others, and
// returns its text.
func (s *scanner) value(depth int) (raw []byte, err error) {
	c := s.peek()
	start := s.at
	switch {
	case c == '"':
		err = s.str()
	case c == '{' || c == '[':
		if depth >= s.maxDepth {
			return nil, fmt.Errorf("%w: nested deeper than %d levels", ErrSyntax, s.maxDepth)
		}
		if c == '{' {
			err = s.object(depth+1, nil)
		} else {
			err = s.array(depth+1, nil)
		}
	case c == '-' || isDigit(c):
		err = s.number()
	default:
		err = s.literal()
	}
	return s.text[start:s.at], err
}

func (s *scanner) str() error {
	s.at++
	for {
		s.at += ordinary(s.text[s.at:])
		switch s.here() {
		case '"':
			s.at++
			return nil
		case '\\':
			if err := s.escape(); err != nil {
				return err
			}
			s.at++
		default:
			if s.at >= len(s.text) {
				return s.fail("a closing quote")
			}
			return s.fail("no control character")
		}
	}
}

func (s *scanner) escape() error {
	s.at++
	switch s.here() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.at++
			if !isHex(s.here()) {
				return s.fail("a hexadecimal digit")
			}
		}
		return nil
	}
	return s.fail("an escape")
}

func (s *scanner) number() error {
	if s.here() == '-' {
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

// here returns the next byte, or 0 at the end. No byte of valid JSON is 0.
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
