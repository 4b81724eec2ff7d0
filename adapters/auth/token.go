package auth

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// A signed is a token that is taken apart: JWS in its compact form (RFC 7515
// §7.1). Nothing in it is to be believed before verify has.
type signed struct {
	input     string // what was signed: header and payload as they came
	algorithm string
	payload   []byte
	signature []byte
}

// parseToken takes a token apart.
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

// decodePart reads base64url as RFC 7515 §2 wants it: no padding, no line
// breaks, which Go's decoder would pass over, and no bits that mean nothing.
func decodePart(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errBase64
	}
	return base64url.DecodeString(text)
}

// parseHeader returns the algorithm that a token's header names. It refuses
// extensions that the token calls critical, as RFC 7515 §4.1.11 demands: we
// understand none. And b64 (RFC 7797), with which the payload would be read in
// another way than ours. What else stands there decides nothing.
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
