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
	subject, issuer      string
	audience             []string
	expires, notBefore   time.Time
	systems, rooms, send []string

	has map[string]bool // the names of the claims that are there
}

// parseClaims reads a token's payload.
func parseClaims(text []byte) (*claims, error) {
	c := &claims{has: make(map[string]bool, 8)}
	err := jsontext.Object(text, c.take)
	var bad *claimError
	switch {
	case errors.As(err, &bad):
		return nil, distrust(ReasonClaims, "the token's %s: %s", bad.name, bad.problem)
	case err != nil:
		return nil, distrust(ReasonClaims,
			"the token's payload is no JSON object with each name once, in UTF-8")
	}
	return c, nil
}

// A claimError says what is wrong with one claim.
type claimError struct{ name, problem string }

func (e *claimError) Error() string { return e.name + ": " + e.problem }

func (c *claims) take(name string, value []byte) (err error) {
	problem := ""
	switch name {
	case "sub":
		c.subject, err = jsontext.String(value)
		problem = "want a string"
	case "iss":
		c.issuer, err = jsontext.String(value)
		problem = "want a string"
	case "jti":
		_, err = jsontext.String(value)
		problem = "want a string"
	case "aud":
		c.audience, err = texts(value)
		problem = "want a string, or an array of strings"
	case "exp":
		c.expires, err = numericDate(value)
		problem = wantDate
	case "nbf":
		c.notBefore, err = numericDate(value)
		problem = wantDate
	case "iat":
		_, err = numericDate(value)
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
	default:
		return nil
	}
	c.has[name] = true
	if err != nil {
		return &claimError{name, problem}
	}
	return nil
}

// texts reads an array of strings, or a string as an array of one.
func texts(value []byte) (all []string, err error) {
	if one, err := jsontext.String(value); err == nil {
		return []string{one}, nil
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

// check checks the claims against the settings and the clock.
func (c *claims) check(cfg *JWTConfig, now time.Time) error {
	switch {
	case !c.has["exp"]:
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
	case !c.has["sub"]:
		return distrust(ReasonClaims, "the token has no sub, which names the user")
	}
	if err := domain.CheckUser(c.subject); err != nil {
		return distrust(ReasonClaims, "the token's sub is no user: %v", err)
	}
	return c.checkAudience(cfg)
}

// checkAudience follows [RFC 7519 §4.1.3]: a token that names an audience must be
// refused by everybody who is not named there. So a node without a configured
// audience refuses it as well.
//
// [RFC 7519 §4.1.3]: https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3
func (c *claims) checkAudience(cfg *JWTConfig) error {
	const told = "the token is for another audience"
	switch {
	case cfg.Audience == "" && c.has["aud"]:
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
