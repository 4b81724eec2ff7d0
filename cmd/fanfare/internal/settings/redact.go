package settings

import (
	"net/url"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

const (
	hidden     = "xxxxx"
	unreadable = "(hidden: it cannot be read)"
)

// redactedURLs shows the URLs of buses without what is secret in them. One that
// cannot be read shows no more than its scheme, and where the list itself is
// doubtful, a space in a password may be why: then nothing is shown.
func redactedURLs(text string) string {
	all := dsn.SplitURLs(text)
	for _, one := range all {
		if scheme, _, ok := strings.Cut(one, "://"); len(all) > 1 && (!ok || !isScheme(scheme)) {
			return unreadable
		}
	}
	return strings.Join(each(all, redactedURL), " ")
}

func redactedURL(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || !isScheme(scheme) {
		return unreadable
	}
	u, err := url.Parse(text)
	end := strings.IndexAny(rest, "/?#")
	switch {
	case err != nil && strings.Contains(rest, ","): // servers, as brokers' clients take them
		return dsn.Redact(text)
	case err != nil, u.Opaque != "", u.Fragment != "",
		end >= 0 && strings.Contains(rest[end:], "@"): // a password that was not escaped ends late
		return scheme + "://" + unreadable
	}
	query, ok := redactedQuery(u.RawQuery)
	if !ok {
		return scheme + "://" + unreadable
	}
	u.RawQuery = query
	if _, password := u.User.Password(); password {
		u.User = url.UserPassword(u.User.Username(), hidden)
	} else if u.User != nil { // a name alone is a token, for NATS
		u.User = url.User(hidden)
	}
	shown := u.String()
	if after, ok := strings.CutPrefix(shown, u.Scheme+":"); ok && !strings.HasPrefix(after, "//") {
		shown = u.Scheme + "://" + after // memory:// has no host
	}
	return shown
}

// redactedQuery hides the values of parameters whose names say that they are
// secret, and of those that hold a URL of their own.
func redactedQuery(raw string) (string, bool) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return "", false
	}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair != "" && !strings.Contains(pair, "=") { // the end of a value with an & in it
			return "", false
		}
	}
	for name, values := range query {
		for i, v := range values {
			if secretName(name) || strings.Contains(v, "@") {
				values[i] = hidden
			}
		}
	}
	return query.Encode(), true
}

func secretName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"pass", "pwd", "secret", "token", "key", "cred", "auth"}, func(word string) bool {
		return strings.Contains(name, word)
	})
}

// redacted shows a setting that is no URL, unless somebody put one there, or
// something with a user's part, by mistake.
func redacted(text string) string {
	switch {
	case strings.Contains(text, "@"):
		return unreadable
	case strings.Contains(text, "://"):
		return redactedURL(text)
	case strings.ContainsAny(text, "?="):
		return unreadable
	}
	return text
}

func isScheme(text string) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+-.", r)
	}
	return text != "" && !strings.ContainsFunc(text, odd)
}
