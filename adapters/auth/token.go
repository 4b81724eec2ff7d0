package auth

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// signed holds the decoded parts of a token, which is a JWS in the compact form
// ([RFC 7515 §7.1]). Nothing in it may be trusted before JWT.verify has checked
// the signature.
//
// [RFC 7515 §7.1]: https://www.rfc-editor.org/rfc/rfc7515#section-7.1
type signed struct {
	input     string // what was signed: the encoded header and payload, and the dot between them
	algorithm string
	payload   []byte
	signature []byte
}

// parseToken decodes the parts of a token.
func parseToken(text string) (s signed, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return s, distrust(ReasonMalformed,
			"the token is no JWT: want three parts with dots between them")
	}
	header, err := decodePart(parts[0])
	if err != nil {
		return s, distrust(ReasonMalformed, "the token's header is not in base64url")
	}
	if s.payload, err = decodePart(parts[1]); err != nil {
		return s, distrust(ReasonMalformed, "the token's payload is not in base64url")
	}
	if s.signature, err = decodePart(parts[2]); err != nil {
		return s, distrust(ReasonMalformed, "the token's signature is not in base64url")
	}
	s.input = text[:len(parts[0])+1+len(parts[1])]
	s.algorithm, err = parseHeader(header)
	return s, err
}

var base64url = base64.RawURLEncoding.Strict()

var errBase64 = errors.New("not base64url")

// decodePart decodes base64url as [RFC 7515 §2] defines it: without padding,
// without line breaks, which Go's decoder would skip, and without unused bits
// that are set.
//
// [RFC 7515 §2]: https://www.rfc-editor.org/rfc/rfc7515#section-2
func decodePart(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errBase64
	}
	return base64url.DecodeString(text)
}

// parseHeader returns the algorithm that a token's header names. It refuses a
// header with crit, as RFC 7515 §4.1.11 requires, since no extension is
// implemented here. It also refuses b64 (RFC 7797), which changes how the payload
// has to be read. Other fields have no effect.
func parseHeader(text []byte) (algorithm string, err error) {
	found := false
	err = jsontext.Object(text, func(name string, value []byte) (err error) {
		switch name {
		case "alg":
			found = true
			algorithm, err = jsontext.String(value)
		case "typ", "cty", "kid":
			_, err = jsontext.String(value)
		case "crit", "b64":
			return errExtension
		}
		return err
	})
	switch {
	case errors.Is(err, errExtension):
		return "", distrust(ReasonMalformed,
			"the token's header has extensions that must be understood: crit or b64")
	case err != nil:
		return "", distrust(ReasonMalformed,
			"the token's header is no JSON object as RFC 7515 wants it, each name once")
	case !found:
		return "", distrust(ReasonMalformed, "the token's header names no algorithm")
	}
	return algorithm, nil
}

var errExtension = errors.New("extension")
