package auth

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// claims are the claims of a token that this package uses. They are read here
// and nowhere else. Names are compared exactly. A name that is there twice is
// refused, and so is a claim of another type than [RFC 7519] or this package
// gives it, since two readers of such a token could see two different users in
// it.
//
// [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519
type claims struct {
	subject, issuer, token     string // token is the jti
	audience                   []string
	expires, notBefore, issued time.Time
	systems, rooms, send       []string
	presence                   []string

	hasSubject, hasAudience, hasExpires bool // whether the claim is there

	key *key // with which the token was verified
}

// parseClaims reads a token's payload.
func parseClaims(text []byte) (*claims, error) {
	c := &claims{}
	err := jsontext.Fields(text, c.take)
	return c, refusal(err)
}

// refusal returns what an error about a payload means for its token; nil for nil.
func refusal(err error) error {
	var bad *claimError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad):
		return distrust(ReasonClaims, "the token's %s: %s", bad.name, bad.problem)
	default:
		return distrust(ReasonClaims,
			"the token's payload is no JSON object with each name once, in UTF-8")
	}
}

// A claimError says what is wrong with one claim.
type claimError struct{ name, problem string }

func (e *claimError) Error() string { return e.name + ": " + e.problem }

// take takes one claim. It keeps no part of the text.
func (c *claims) take(name, value []byte) (err error) {
	problem := ""
	switch string(name) {
	case "sub":
		c.hasSubject = true
		c.subject, err = jsontext.String(value)
		problem = "want a string"
	case "iss":
		c.issuer, err = jsontext.String(value)
		problem = "want a string"
	case "jti":
		c.token, err = jsontext.String(value)
		problem = "want a string"
	case "aud":
		c.hasAudience = true
		c.audience, err = texts(value)
		problem = "want a string, or an array of strings"
	case "exp":
		c.hasExpires = true
		c.expires, err = numericDate(value)
		problem = wantDate
	case "nbf":
		c.notBefore, err = numericDate(value)
		problem = wantDate
	case "iat":
		c.issued, err = numericDate(value)
		problem = wantDate
	case "systems":
		c.systems, err = globs(value)
		problem = "want an array of globs"
	case "rooms":
		c.rooms, err = globs(value)
		problem = "want an array of globs"
	case "send":
		c.send, err = globs(value)
		problem = "want an array of globs"
	case "presence":
		c.presence, err = globs(value)
		problem = "want an array of globs"
	default:
		return nil
	}
	if err != nil {
		return &claimError{string(name), problem}
	}
	return nil
}

// texts reads an array of strings, or a string as an array of one.
func texts(value []byte) (all []string, err error) {
	if len(value) > 0 && value[0] == '"' { // values have no white space around them
		one, err := jsontext.String(value)
		return []string{one}, err
	}
	err = jsontext.Array(value, func(element []byte) error {
		text, err := jsontext.String(element)
		all = append(all, text)
		return err
	})
	return all, err
}

// globs reads an array of strings, or null as an empty one. Some libraries write
// null for an empty list, and accepting it is safe: an empty list grants nothing.
func globs(value []byte) ([]string, error) {
	if string(value) == "null" {
		return nil, nil
	}
	return texts(value)
}

// endOfTime is the first moment that a claim cannot name: the year 10000, in
// seconds since 1970. It also catches issuers that write milliseconds.
const endOfTime = 253_402_300_800

const wantDate = "want seconds since 1970, not milliseconds, in a year up to 9999"

// numericDate reads a NumericDate ([RFC 7519 §2]): seconds since 1970, perhaps
// with a fraction.
//
// [RFC 7519 §2]: https://www.rfc-editor.org/rfc/rfc7519#section-2
func numericDate(value []byte) (time.Time, error) {
	if seconds, ok := wholeSeconds(value); ok {
		return time.Unix(seconds, 0), nil
	}
	n, err := jsontext.Number(value)
	if err != nil {
		return time.Time{}, err
	}
	if !(n >= 0 && n < endOfTime) {
		return time.Time{}, errors.New("out of range")
	}
	whole, fraction := math.Modf(n)
	return time.Unix(int64(whole), int64(fraction*1e9)), nil
}

// wholeSeconds reads a date as nearly all tokens have it: a few digits and nothing else.
// To read any number takes so much stack that the request's goroutine would have to grow
// its own.
func wholeSeconds(value []byte) (seconds int64, ok bool) {
	const mostDigits = 11 // fewer than endOfTime has
	if len(value) > mostDigits || value[0] == '0' {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		seconds = 10*seconds + int64(c-'0')
	}
	return seconds, true
}

// grant returns what the claims entitle to. The slices are shared with the claims.
func (c *claims) grant() domain.Grant {
	return domain.Grant{
		User: c.subject, Systems: c.systems, Rooms: c.rooms, Send: c.send, Presence: c.presence,
		Expires: c.expires, Token: c.token, Issued: c.issued,
	}
}

// size returns about how many bytes the claims take in verified.
func (c *claims) size() int {
	const fixed = 480 // the claims themselves, and an entry of a map that is half full
	n := fixed + len(c.subject) + len(c.issuer) + len(c.token)
	for _, list := range [...][]string{c.audience, c.systems, c.rooms, c.send, c.presence} {
		for _, text := range list {
			n += 24 + len(text) // a string, and what rounding up adds
		}
	}
	return n
}

// check checks the claims against the settings and the clock.
func (c *claims) check(cfg *JWTConfig, now time.Time) error {
	switch {
	case !c.hasExpires:
		return distrust(ReasonClaims, "the token has no exp: one that never ends is not taken")
	case !now.Before(c.expires):
		return conceal(ReasonExpired, "the token has expired", "the token expired %v ago",
			seconds(now.Sub(c.expires)))
	case c.notBefore.After(now.Add(cfg.Leeway)):
		return conceal(ReasonNotYet, "the token is not valid yet",
			"the token is not valid for another %v (its nbf), and auth.jwt.leeway is %v",
			seconds(c.notBefore.Sub(now)), cfg.Leeway)
	case cfg.Issuer != "" && c.issuer != cfg.Issuer:
		return conceal(ReasonIssuer, "the token is of another issuer",
			"the token's iss is %.100q, and auth.jwt.issuer is %q", c.issuer, cfg.Issuer)
	case !c.hasSubject:
		return distrust(ReasonClaims, "the token has no claim %s, which names the user", cfg.Claims.User)
	}
	if err := domain.CheckUser(c.subject); err != nil {
		return distrust(ReasonClaims, "the token's %s is no user: %v", cfg.Claims.User, err)
	}
	return c.checkAudience(cfg)
}

// checkAudience follows [RFC 7519 §4.1.3]: a token that names an audience must be
// refused by everybody who is not named there. So a node without a configured
// audience refuses it as well. Whoever sets AnyAudience says that all are named.
//
// [RFC 7519 §4.1.3]: https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3
func (c *claims) checkAudience(cfg *JWTConfig) error {
	const told = "the token is for another audience"
	switch {
	case cfg.Audience == AnyAudience:
		return nil
	case cfg.Audience == "" && c.hasAudience:
		return conceal(ReasonAudience, told,
			"the token is for the audience %s, and this node has none: "+
				"set auth.jwt.audience to what your tokens name", brief(c.audience))
	case cfg.Audience != "" && !slices.Contains(c.audience, cfg.Audience):
		return conceal(ReasonAudience, told,
			"the token is for the audience %s, and auth.jwt.audience is %q", brief(c.audience),
			cfg.Audience)
	}
	return nil
}

// brief quotes the first three of the names, which came from outside and may be
// many.
func brief(names []string) string {
	text := fmt.Sprintf("%.100q", names[:min(len(names), 3)])
	if len(names) > 3 {
		text += " and others"
	}
	return text
}

// seconds rounds a duration for people to read.
func seconds(d time.Duration) time.Duration { return d.Round(time.Second) }
