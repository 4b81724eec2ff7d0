package jsontext

import (
	"bytes"
	"errors"
	"fmt"
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
	if err := s.array(0, elem); err != nil {
		return err
	}
	return s.end()
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
