package settings

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

const (
	hidden     = "xxxxx"
	unreadable = "(hidden: it cannot be read)"
)

// redactedURLs shows the URLs of buses without what is secret in them. Of a URL
// that cannot be read it shows the scheme at most. If one of several items is no
// URL, a password may have a space in it: then it shows nothing.
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
		end >= 0 && strings.Contains(rest[end:], "@"): // of a password with a /, ? or # in it
		return scheme + "://" + unreadable
	}
	query, ok := redactedQuery(u.RawQuery)
	if !ok {
		return scheme + "://" + unreadable
	}
	u.RawQuery = query
	if _, hasPassword := u.User.Password(); hasPassword {
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
// secret, and values that look like a URL with a user in it. It reports whether it
// could read the query.
func redactedQuery(raw string) (string, bool) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return "", false
	}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair != "" && !strings.Contains(pair, "=") {
			// It may be the end of a secret that has an & in it.
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

// secretWords are what the names of parameters with secrets hold.
var secretWords = []string{"pass", "pwd", "secret", "token", "key", "cred", "auth"}

func secretName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(word string) bool {
		return strings.Contains(name, word)
	})
}

// redacted shows a setting that is no URL. If somebody put a URL there, or a part
// of one, it hides what may be secret.
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

// schemeForm matches what the scheme of a URL may be, in a loose reading of RFC 3986
// §3.1.
var schemeForm = regexp.MustCompile(`^[a-zA-Z0-9+.-]+$`)

func isScheme(text string) bool {
	return schemeForm.MatchString(text)
}
