package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrType means that a value is well-formed, but has another type than the
// caller asked for.
var ErrType = errors.New("wrong type of JSON value")

// Valid returns an [ErrSyntax] unless text is one valid JSON value. Arrays and
// objects in it may be nested [MaxDepth] deep.
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
// and the text of each value. The value shares memory with text. It refuses
// names that are there twice, and names with lone surrogates. It stops at the
// first error of field and returns that error.
func Object(text []byte, field func(name string, value []byte) error) error {
	return Fields(text, func(name, value []byte) error { return field(string(name), value) })
}

// Fields is [Object] without a copy of each name: the name may share memory
// with text.
func Fields(text []byte, field func(name, value []byte) error) error {
	var seen names
	return Walk(text, func(quoted, value []byte) error {
		name, err := unquote(quoted)
		if err != nil {
			return err
		}
		if seen.add(name) {
			return fmt.Errorf("%w: the name %.64q is there twice", ErrSyntax, name)
		}
		return field(name, value)
	})
}

// Walk is [Object] for objects whose names are not ours to judge: it accepts a
// name that is there twice, and passes each name quoted and escaped as it is in
// text.
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

// Array reads text as one array, and calls element with the text of each value,
// which shares memory with text. It stops at the first error of element and
// returns that error.
func Array(text []byte, element func(value []byte) error) error {
	s, err := scan(text)
	if err != nil {
		return err
	}
	if err := s.array(outermost, element); err != nil {
		return err
	}
	return s.end()
}

// Values reads a text that holds any number of values, one after the other.
// They may be nested eight times [MaxDepth] deep. It is not safe for concurrent
// use.
type Values struct {
	s   scanner
	err error // of the text as a whole; Next returns it once
}

// NewValues returns a reader of the values in text. It keeps text.
func NewValues(text []byte) *Values {
	s, err := scan(text)
	s.maxDepth = skimDepth
	return &Values{s, err}
}

// Next returns the text of the next value, which shares memory with the whole
// text, or io.EOF. After an error it returns io.EOF, since what follows cannot
// be read.
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

// OneLine returns a copy of valid text that is one line: without the line breaks
// between its tokens, and without white space around it. Strings in JSON have no
// raw line breaks.
func OneLine(text []byte) []byte {
	text = trim(text)
	if !HasLineBreak(text) {
		return bytes.Clone(text)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return bytes.Clone(text) // the text is not valid; it is the caller's to check that
	}
	return bytes.Clone(b.Bytes()) // the buffer's capacity may be twice as large
}

// HasLineBreak reports whether text has a raw line break: CR or LF.
func HasLineBreak(text []byte) bool {
	return bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0
}

// names is a set of names that allocates nothing while it is small.
type names struct {
	few   [12][]byte
	count int                 // of few
	many  map[string]struct{} // all names, once few is full
}

// add adds a name, and reports whether it was there already.
func (n *names) add(name []byte) (found bool) {
	if n.many != nil {
		_, found = n.many[string(name)]
		n.many[string(name)] = struct{}{}
		return found
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
