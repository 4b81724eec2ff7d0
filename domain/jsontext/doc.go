// Package jsontext reads JSON text ([RFC 8259]) that comes from outside, and
// writes JSON strings.
//
// # Strictness
//
// It is stricter than encoding/json where two readers of the same text could
// understand two different things:
//
//   - names are compared exactly, never without regard to case;
//   - an object with the same name twice is refused;
//   - a string with a lone surrogate is refused when it is decoded, because
//     encoding/json turns every lone surrogate into the same U+FFFD;
//   - the text must be UTF-8, and nothing may follow its one value.
//
// # Values
//
// The values of an object or array are handed over as text that is known to be
// valid, but not decoded. So a value that the caller does not decode is passed
// on unchanged, with any repeated names and lone surrogates inside it.
//
//	err := jsontext.Object(text, func(name string, value []byte) (err error) {
//		switch name {
//		case "sub":
//			user, err = jsontext.String(value)
//		case "exp":
//			expiry, err = jsontext.Number(value)
//		}
//		return err
//	})
//
// # Errors and time
//
// An error wraps [ErrSyntax] if the text is at fault, and [ErrType] if the text
// is valid but its value has another type than the caller asked for. Errors of
// callbacks are returned as they are. No input causes a panic, and the time is
// linear in the length of the input.
//
// [RFC 8259]: https://www.rfc-editor.org/rfc/rfc8259
package jsontext
