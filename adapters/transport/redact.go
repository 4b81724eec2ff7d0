package transport

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// hidden stands where a secret was.
const hidden = "xxxxx"

// place shows a transport's URL without user, password and parameters.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// redact hides the URL's secrets in what an error says. The error behind it is
// still found by errors.Is and As.
func redact(err error, u *url.URL) error {
	text := err.Error()
	for _, secret := range secrets(u) {
		// A very short secret would tear up the text, and so tell what it is:
		// it is hidden where it stands as a password only.
		if len(secret) < 4 {
			text = strings.ReplaceAll(text, ":"+secret+"@", ":"+hidden+"@")
			continue
		}
		text = strings.ReplaceAll(text, secret, hidden)
	}
	if text == err.Error() {
		return err
	}
	return &redacted{text, err}
}

type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.err }

// secrets returns the password and the secret parameters of u, in each way
// that an error might write them, the longest first.
func secrets(u *url.URL) []string {
	var plain, all []string
	if password, ok := u.User.Password(); ok {
		plain = append(plain, password)
		_, escaped, _ := strings.Cut(u.User.String(), ":")
		all = append(all, escaped)
	}
	for name, values := range u.Query() {
		if isSecret(name) {
			plain = append(plain, values...)
		}
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		if name, value, _ := strings.Cut(pair, "="); isSecret(name) {
			all = append(all, value)
		}
	}
	for _, s := range plain {
		quoted := strconv.Quote(s)
		all = append(all, s, url.QueryEscape(s), url.PathEscape(s), quoted[1:len(quoted)-1])
	}
	all = slices.DeleteFunc(all, func(s string) bool { return s == "" })
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(all)
}

// isSecret says whether a parameter of this name is one to hide.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"pass", "secret", "token", "key", "cred"}, func(word string) bool {
		return strings.Contains(name, word)
	})
}
