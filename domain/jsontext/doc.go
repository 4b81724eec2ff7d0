// Package jsontext reads JSON text (RFC 8259) that comes from outside, and is
// stricter than encoding/json where two readers of the same text could
// understand two different things:
//
//   - names are compared exactly, never without regard to case;
//   - a name that stands twice in the object that is read is refused;
//   - a string that is taken as a Go string has no lone surrogates, which would
//     all become the same U+FFFD;
//   - the text is UTF-8, and nothing follows its one value.
//
// The values of an object or array are not decoded but handed over as they
// are, as text that is known to be valid: what nobody asks for travels
// untouched, with whatever duplicates and surrogates are in it.
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
// Errors of the reading itself wrap [ErrSyntax], or [ErrType] where the text is
// good but is not what was asked for. Errors of callbacks are returned as they
// are. No input can cause a panic, and none takes more than linear time.
package jsontext
