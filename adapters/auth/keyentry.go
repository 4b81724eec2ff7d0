package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A keyEntry is what is known of one key.
type keyEntry struct {
	KeyLimits
	name   string
	scopes domain.Scopes
	sum    [sha256.Size]byte
	meter  *meter // nil without a rate
}

// same reports whether two entries of one key mean the same.
func (e *keyEntry) same(as keyEntry) bool {
	return slices.Equal(e.scopes, as.scopes) && e.KeyLimits == as.KeyLimits
}

// KeyLimits bound what an API key is good for. The zero value bounds nothing.
type KeyLimits struct {
	Expires time.Time // when the key ends; zero: never
	Rate    KeyRate
}

// A KeyRate is how many messages may be published with a key on one node: Messages in each
// Per. Zero means any number.
type KeyRate struct {
	Messages int
	Per      time.Duration // a second or a minute
}

// String returns the limits as an entry has them, with a colon before each.
func (l KeyLimits) String() string {
	text := ""
	if !l.Expires.IsZero() {
		text += ":expires=" + l.Expires.UTC().Format(time.RFC3339)
	}
	if l.Rate.Messages > 0 {
		text += ":rate=" + l.Rate.String()
	}
	return text
}

// String returns the rate as [ParseKeyRate] reads it.
func (r KeyRate) String() string {
	unit := "s"
	if r.Per == time.Minute {
		unit = "m"
	}
	return strconv.Itoa(r.Messages) + "/" + unit
}

// maxKeyRate is more messages in a second or a minute than a node can publish.
const maxKeyRate = 100_000_000

// ParseKeyRate reads a rate: 100/s, or 30/m for a rate by the minute.
func ParseKeyRate(text string) (r KeyRate, err error) {
	number, unit, _ := strings.Cut(text, "/")
	r.Messages, err = strconv.Atoi(number)
	r.Per = map[string]time.Duration{"s": time.Second, "m": time.Minute}[unit]
	if err != nil || r.Messages < 1 || r.Messages > maxKeyRate || r.Per == 0 {
		return KeyRate{}, errors.New("a rate is a number of messages in a second or a minute, " +
			"such as 100/s or 30/m")
	}
	return r, nil
}

// ParseKeyExpiry reads a time, such as 2027-01-01T00:00:00Z, or a date, at whose beginning in
// UTC the key ends.
func ParseKeyExpiry(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil && t.Year() >= 1970 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("an end is a time or a date, " +
		"such as 2027-01-01T00:00:00Z or 2027-01-01")
}

var (
	keyName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	keyScope = regexp.MustCompile(`^(\*|admin|(publish|presence|members|read)/[a-z0-9_*-]{1,64})$`)
)

var errName = errors.New("a key's name is 1 to 64 letters, digits, dots, dashes and underscores," +
	" and begins with a letter or a digit")

// parseEntry reads an entry. Its errors quote nothing but the name and never the
// third part, which may be a key that somebody put in place of its hash.
func parseEntry(text string) (keyEntry, error) {
	parts := strings.SplitN(text, ":", 4)
	if len(parts) < 3 {
		return keyEntry{}, errors.New("want name:scopes:sha256-hex; `fanfare key` prints one")
	}
	e := keyEntry{name: parts[0]}
	if err := e.parseScopes(parts[1]); err != nil {
		return keyEntry{}, err
	}
	sum, err := hex.DecodeString(parts[2])
	if err != nil || len(sum) != sha256.Size {
		return keyEntry{},
			fmt.Errorf("%s: the third part must be the key's SHA-256 in 64 hex digits, not the key itself",
				parts[0])
	}
	e.sum = [sha256.Size]byte(sum)
	if len(parts) == 4 {
		if err := e.parseLimits(parts[3]); err != nil {
			return keyEntry{}, fmt.Errorf("%s: %w", parts[0], err)
		}
	}
	return e, nil
}

// parseScopes reads the scopes, and checks the name.
func (e *keyEntry) parseScopes(text string) error {
	if !keyName.MatchString(e.name) {
		return errName
	}
	e.scopes = strings.Split(text, "+")
	for _, s := range e.scopes {
		if !keyScope.MatchString(s) {
			return fmt.Errorf("%s: scopes are *, admin, publish/SYSTEM, read/SYSTEM, presence/SYSTEM and "+
				"members/SYSTEM, joined by +, as in publish/orders+presence/orders", e.name)
		}
	}
	return nil
}

// parseLimits reads what stands behind the hash: name=value, with colons between. A value may
// have colons in it, too, so a part without "=" belongs to the one before it.
func (e *keyEntry) parseLimits(text string) error {
	const want = "behind the hash there may be :expires=2027-01-01T00:00:00Z and :rate=100/s, each once"
	var limits []string
	for part := range strings.SplitSeq(text, ":") {
		if n := len(limits); n > 0 && !strings.Contains(part, "=") {
			limits[n-1] += ":" + part
			continue
		}
		limits = append(limits, part)
	}
	for _, limit := range limits {
		name, value, _ := strings.Cut(limit, "=")
		var err error
		switch {
		case name == "expires" && e.Expires.IsZero():
			e.Expires, err = ParseKeyExpiry(value)
		case name == "rate" && e.meter == nil:
			if e.Rate, err = ParseKeyRate(value); err == nil {
				e.meter = &meter{rate: e.Rate}
			}
		default:
			err = errors.New(want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ShowKeyEntry returns what of an entry is no secret, for people. Of what cannot be read it
// shows the name and the scopes, or "(hidden)".
func ShowKeyEntry(text string) string {
	parts := strings.SplitN(text, ":", 4)
	e := keyEntry{name: parts[0]}
	if len(parts) < 3 || e.parseScopes(parts[1]) != nil {
		return "(hidden)"
	}
	if whole, err := parseEntry(text); err == nil {
		e = whole
	}
	return e.name + ":" + strings.Join(e.scopes, "+") + ":(hidden)" + e.KeyLimits.String()
}
