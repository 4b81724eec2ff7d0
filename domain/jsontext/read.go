package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrType marks a value that is well-formed, but of another type than was
// asked for.
var ErrType = errors.New("wrong type of JSON value")

// Valid says what is wrong with text that should be one JSON value.
func Valid(text []byte) error {
	s, err := scan(text)
	if err != nil {
		return err
	}
	if _, err := s.value(0); err != nil {
		return err
	}
	return s.end()
}

// Object reads text as one object, and calls field with each name, unescaped,
// and each value as it stands. The value shares memory with text. It refuses
// names that are there twice, and names with lone surrogates.
func Object(text []byte, field func(name string, value []byte) error) error {
	return Fields(text, func(name, value []byte) error { return field(string(name), value) })
}

// Fields is [Object] without a copy of each name: the name may share memory
// with text.
func Fields(text []byte, field func(name, value []byte) error) error {
	var seen names
	return Walk(text, func(quoted, value []byte) error {
		name, err := inner(quoted)
		if err != nil {
			return err
		}
		if seen.add(name) {
			return fmt.Errorf("%w: the name %.64q is there twice", ErrSyntax, name)
		}
		return field(name, value)
	})
}

// Walk is [Object] for objects that others define: it takes names that are
// there twice, and hands them over quoted, as they stand.
func Walk(text []byte, field func(quoted, value []byte) error) error {
	s, err := scan(text)
	if err != nil {
		return err
	}
	if err := s.object(0, field); err != nil {
		return err
	}
	return s.end()
}

// Array reads text as one array, and calls elem with each value as it stands.
func Array(text []byte, elem func(value []byte) error) error {
	s, err := scan(text)
	if err != nil {
		return err
	}
	if err := s.array(around, elem); err != nil {
		return err
	}
	return s.end()
}

// Values are the values of a text that holds any number of them, one after the
// other. They may be nested deeper than what other functions take.
type Values struct {
	s   scanner
	err error // that the text begins with
}

// NewValues returns the values of text.
func NewValues(text []byte) *Values {
	s, err := scan(text)
	s.most = skimDepth
	return &Values{s, err}
}

// Next returns the next value as it stands, or io.EOF. Behind an error nothing
// more can be read.
func (v *Values) Next() (value []byte, err error) {
	if err = v.err; err == nil {
		if v.s.space(); v.s.at >= len(v.s.text) {
			return nil, io.EOF
		}
		value, err = v.s.value(0)
	}
	if err != nil {
		v.s, v.err = scanner{}, nil
		return nil, err
	}
	return value, nil
}

// OneLine returns a copy of valid text without the line breaks between its
// tokens, and without space around it. Strings have no raw line breaks.
func OneLine(text []byte) []byte {
	text = trim(text)
	if !HasLineBreak(text) {
		return bytes.Clone(text)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return bytes.Clone(text) // it was not valid: that is for others to say
	}
	return bytes.Clone(b.Bytes()) // the buffer may be twice as long
}

// HasLineBreak says whether text has a raw line break.
func HasLineBreak(text []byte) bool {
	return bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0
}

// names is a set of names that needs no memory of its own while it is small.
type names struct {
	few   [12][]byte
	count int
	many  map[string]struct{}
}

// add reports whether the name was there already.
func (n *names) add(name []byte) (again bool) {
	if n.many != nil {
		_, again = n.many[string(name)]
		n.many[string(name)] = struct{}{}
		return again
	}
	for _, other := range n.few[:n.count] {
		if bytes.Equal(other, name) {
			return true
		}
	}
	if n.count < len(n.few) {
		n.few[n.count] = name
		n.count++
		return false
	}
	n.many = map[string]struct{}{string(name): {}}
	for _, other := range n.few {
		n.many[string(other)] = struct{}{}
	}
	return false
}
