package auth

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// A grantAnswer is what an endpoint has granted.
type grantAnswer struct {
	grant domain.Grant
	cache time.Duration // for how long it may be remembered
}

// maxGrantCache is the longest time for which a grant is remembered.
const maxGrantCache = 24 * time.Hour

// parseGrant reads the answer of an endpoint: a JSON object in which only user is required.
// Members that are not known have no effect.
func parseGrant(text []byte) (a grantAnswer, err error) {
	g := &a.grant
	err = jsontext.Fields(text, func(name, value []byte) error {
		var err error
		want := "a string"
		switch string(name) {
		case "user":
			g.User, err = jsontext.String(value)
		case "jti":
			g.Token, err = jsontext.String(value)
		case "systems":
			g.Systems, err = globs(value)
			want = "an array of globs"
		case "rooms":
			g.Rooms, err = globs(value)
			want = "an array of globs"
		case "send":
			g.Send, err = globs(value)
			want = "an array of globs"
		case "presence":
			g.Presence, err = globs(value)
			want = "an array of globs"
		case "expires":
			g.Expires, err = moment(value)
			want = "seconds since 1970, or a time such as 2027-01-01T00:00:00Z"
		case "cache":
			a.cache, err = wholeTime(value)
			want = "a number of seconds"
		}
		if err != nil {
			return &claimError{string(name), "want " + want}
		}
		return nil
	})
	var bad *claimError
	switch {
	case errors.As(err, &bad):
		return a, fmt.Errorf("auth.callback: its answer: %w", bad)
	case err != nil:
		return a, errors.New("auth.callback: its answer is no JSON object with each name once, in UTF-8")
	}
	return a, nil
}

// moment reads a time in one of two forms; null is none.
func moment(value []byte) (time.Time, error) {
	switch {
	case string(value) == "null":
		return time.Time{}, nil
	case value[0] != '"': // values are not empty
		return numericDate(value)
	}
	text, err := jsontext.String(value)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, text)
}

func wholeTime(value []byte) (time.Duration, error) {
	n, err := jsontext.Number(value)
	switch {
	case err != nil:
		return 0, err
	case !(n >= 0):
		return 0, errors.New("negative")
	}
	return time.Duration(min(n, maxGrantCache.Seconds()) * float64(time.Second)), nil
}

var refusalReason = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// parseRefusal reads why an endpoint has refused a client. The answer may be anything.
func parseRefusal(text []byte, forbidden bool) error {
	e := &domain.CredentialError{Reason: "callback", Detail: "the callback refused", Forbidden: forbidden}
	_ = jsontext.Fields(text, func(name, value []byte) error {
		said, err := jsontext.String(value)
		switch {
		case err != nil:
		case string(name) == "reason" && refusalReason.MatchString(said):
			e.Reason = said
		case string(name) == "detail":
			e.Told = printable(said)
		}
		return nil
	})
	if e.Told != "" {
		e.Detail += ": " + e.Told
	}
	return e
}

// printable returns what of a text fits in a line for a client.
func printable(text string) string {
	const most = 200
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return strings.TrimSpace(text)
}
