package client

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"time"
)

// soon is too close to a token's end to replace it.
const soon = 5 * time.Second

// keepFor is how long to keep a token before asking for the next: some four
// fifths of the time it has left, so that those who were given theirs together
// do not ask together. It is 0 if there is no need, or it is too late.
func keepFor(token string, now time.Time) time.Duration {
	left := expiry(token).Sub(now)
	if left <= soon {
		return 0
	}
	return time.Duration(float64(left) * (0.75 + 0.15*rand.Float64()))
}

// expiry is when a JWT ends; zero if it does not say or is none. Its signature
// is the node's affair.
func expiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]json.RawMessage // a struct would take "Exp" for it, too
	var exp float64
	if err != nil || json.Unmarshal(text, &claims) != nil || json.Unmarshal(claims["exp"], &exp) != nil || exp <= 0 || exp > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(exp), 0)
}
