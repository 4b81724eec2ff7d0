package jsontext

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrSyntax marks text that is not well-formed, or that strict readers refuse.
var ErrSyntax = errors.New("invalid JSON")

// MaxDepth bounds how deep arrays and objects may be nested in each other, for
// the clients' parsers as for ours. The object that [Object] walks over is not
// counted: each of its values may be as deep as what [Valid] takes. The same
// is so for such objects that are elements of an [Array].
const MaxDepth = 128

// skimDepth bounds the nesting of [Values], which are only told apart: who reads
// one is to find what else it says, such as who asks, though part is too deep.
const skimDepth = 8 * MaxDepth

// around is the depth of values that may be objects to be walked over.
const around = -1

// A scanner walks over JSON text and checks it as it goes.
type scanner struct {
	text []byte // known to be UTF-8
	at   int
	most int // deepest nesting
}

func scan(text []byte) (scanner, error) {
	if !utf8.Valid(text) {
		return scanner{}, fmt.Errorf("%w: it is not UTF-8", ErrSyntax)
	}
	return scanner{text: text, most: MaxDepth}, nil
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

// object walks over an object and calls field with each name, quoted as it
// stands, and each raw value.
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

// value walks over any value that stands inside depth others, and returns its
// text.
func (s *scanner) value(depth int) (raw []byte, err error) {
	c := s.peek()
	start := s.at
	switch {
	case c == '"':
		err = s.str()
	case c == '{' || c == '[':
		if depth >= s.most {
			return nil, fmt.Errorf("%w: nested deeper than %d levels", ErrSyntax, s.most)
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

// ordinary counts the bytes up to the first quote, backslash or control
// character. It looks at eight bytes at once, as data is mostly long strings.
func ordinary(text []byte) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(text)-n >= 8; n += 8 {
		// A byte of x less than k leaves its high bit in (x - k*ones) &^ x.
		x := binary.LittleEndian.Uint64(text[n:])
		quote, backslash := x^('"'*ones), x^('\\'*ones)
		if ((x-' '*ones)&^x|(quote-ones)&^quote|(backslash-ones)&^backslash)&high != 0 {
			break
		}
	}
	for n < len(text) && text[n] >= ' ' && text[n] != '"' && text[n] != '\\' {
		n++
	}
	return n
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

// here returns the next byte; 0 at the end, which stands nowhere in JSON.
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
