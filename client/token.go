package client

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"time"
)

// tooShort is how much time a token must have left to be worth replacing on the same
// connection.
const tooShort = 5 * time.Second

// keepFor returns how long to keep a token before asking for the next: a random part,
// from 75 to 90 percent, of the time that it has left, so that clients that got their
// tokens together do not ask together. It returns 0 if the token does not expire, or
// expires too soon to be replaced.
func keepFor(token string, now time.Time) time.Duration {
	left := expiry(token).Sub(now)
	if left <= tooShort {
		return 0
	}
	return time.Duration(float64(left) * (0.75 + 0.15*rand.Float64()))
}

// expiry returns when a JWT expires ([RFC 7519 §4.1.4]); zero if it does not say, or is
// no JWT. It does not check the signature: the node does.
//
// [RFC 7519 §4.1.4]: https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4
func expiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]json.RawMessage // a struct would also read "Exp"
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return time.Time{}
	}
	var exp float64
	if json.Unmarshal(claims["exp"], &exp) != nil || exp <= 0 || exp > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(exp), 0)
}
