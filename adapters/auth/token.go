package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"sync"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// signed holds the decoded parts of a token, which is a JWS in the compact form
// ([RFC 7515 §7.1]). Nothing in it may be trusted before JWT.verify has checked
// the signature. The slices are parts of a scratch.
//
// [RFC 7515 §7.1]: https://www.rfc-editor.org/rfc/rfc7515#section-7.1
type signed struct {
	input     []byte // what was signed: the encoded header and payload, and the dot between them
	algorithm string
	keyID     string // the kid; "" if there is none
	payload   []byte
	signature []byte
}

// A scratch is memory to read one token in.
type scratch struct{ text, decoded []byte }

var scratches = sync.Pool{New: func() any { return &scratch{} }}

// parseToken decodes the parts of the token in the scratch.
func (w *scratch) parseToken() (s signed, err error) {
	first, last := bytes.IndexByte(w.text, '.'), bytes.LastIndexByte(w.text, '.')
	if bytes.Count(w.text, []byte{'.'}) != 2 {
		return s, distrust(ReasonMalformed,
			"the token is no JWT: want three parts with dots between them")
	}
	w.decoded = w.decoded[:0]
	header, err := w.decode(w.text[:first])
	if err != nil {
		return s, distrust(ReasonMalformed, "the token's header is not in base64url")
	}
	if s.payload, err = w.decode(w.text[first+1 : last]); err != nil {
		return s, distrust(ReasonMalformed, "the token's payload is not in base64url")
	}
	if s.signature, err = w.decode(w.text[last+1:]); err != nil {
		return s, distrust(ReasonMalformed, "the token's signature is not in base64url")
	}
	s.input = w.text[:last]
	s.algorithm, s.keyID, err = parseHeader(header)
	return s, err
}

var base64url = base64.RawURLEncoding.Strict()

var errBase64 = errors.New("not base64url")

// decode decodes base64url as [RFC 7515 §2] defines it: without padding,
// without line breaks, which Go's decoder would skip, and without unused bits
// that are set. The result is a part of the scratch.
//
// [RFC 7515 §2]: https://www.rfc-editor.org/rfc/rfc7515#section-2
func (w *scratch) decode(text []byte) (decoded []byte, err error) {
	if jsontext.HasLineBreak(text) {
		return nil, errBase64
	}
	before := len(w.decoded)
	w.decoded, err = base64url.AppendDecode(w.decoded, text)
	return w.decoded[before:], err
}

// parseHeader returns the algorithm and the key that a token's header names. It
// refuses a header with crit, as RFC 7515 §4.1.11 requires, since no extension is
// implemented here. It also refuses b64 (RFC 7797), which changes how the payload
// has to be read. Other fields have no effect.
func parseHeader(text []byte) (algorithm, keyID string, err error) {
	found := false
	err = jsontext.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "alg":
			found = true
			algorithm, err = jsontext.String(value)
		case "kid":
			keyID, err = jsontext.String(value)
		case "typ", "cty":
			_, err = jsontext.String(value)
		case "crit", "b64":
			return errExtension
		}
		return err
	})
	switch {
	case errors.Is(err, errExtension):
		return "", "", distrust(ReasonMalformed,
			"the token's header has extensions that must be understood: crit or b64")
	case err != nil:
		return "", "", distrust(ReasonMalformed,
			"the token's header is no JSON object as RFC 7515 wants it, each name once")
	case !found:
		return "", "", distrust(ReasonMalformed, "the token's header names no algorithm")
	}
	return algorithm, keyID, nil
}

var errExtension = errors.New("extension")
