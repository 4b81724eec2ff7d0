package dsn

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// hidden stands where a secret was.
const hidden = "xxxxx"

// Redact shows a URL, or a list of servers as brokers' clients take it, without
// the secrets in it. Secrets are passwords, users without a password (they are
// tokens), and the values of the parameters that isSecret names. The URL need not
// be a valid one: where it is not clear what is a secret, more is hidden. Text that
// is no URL is returned as it is.
func Redact(raw string) string {
	if !strings.Contains(raw, "://") {
		return raw
	}
	head, tail := raw, ""
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		head, tail = raw[:i], raw[i:]
	}
	if strings.Contains(tail, "@") { // it ends a password with a ? or # in it
		scheme, _, _ := strings.Cut(raw, "://")
		return scheme + "://" + hidden
	}
	list := strings.Split(head, ",")
	// The loop runs backwards. open: the server after this one may be the end of a
	// password that contains a comma.
	open := false
	for i := len(list) - 1; i >= 0; i-- {
		scheme, rest, whole := strings.Cut(list[i], "://")
		whole = whole && (i == 0 || isScheme(strings.TrimSpace(scheme)))
		if !whole {
			scheme, rest = "", list[i]
		} else {
			scheme += "://"
		}
		rest, open = redactServer(rest, whole, open)
		list[i] = scheme + rest
	}
	return strings.Join(list, ",") + redactQuery(tail)
}

// redactServer hides the user of a server, which is whole if a scheme stands before
// it. It is called from the last server of a list to the first.
//
// A server with an @ and no scheme may be the end of a password that has a comma in
// it. Then open is true, and behind is true for the server before it: that one may
// be the beginning of the password, and nothing of it is shown. Nothing is shown
// either of a server that has no user and is no host.
func redactServer(server string, whole, behind bool) (shown string, open bool) {
	at := strings.LastIndexByte(server, '@')
	switch {
	case behind:
		return hidden, !whole
	case at < 0:
		host, _, _ := strings.Cut(strings.TrimSpace(server), "/")
		if _, err := parseURL("x://" + host); err != nil {
			return hidden, false
		}
		return server, false
	case !whole: // what stands before the @ may be a password's end
		return hidden + server[at:], true
	}
	name, _, password := strings.Cut(server[:at], ":")
	switch {
	case password:
		name += ":" + hidden
	case name != "":
		name = hidden
	}
	return name + server[at:], false
}

// isScheme says whether a text can be a URL's scheme.
func isScheme(text string) bool {
	invalid := func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("+-.", r)
	}
	return text != "" && !strings.ContainsFunc(text, invalid)
}

// redactQuery hides the values of secret parameters; tail is what follows the host
// and path.
func redactQuery(tail string) string {
	tail, _, fragment := strings.Cut(tail, "#")
	end := ""
	if fragment { // no URL of a bus has one: it may be the end of a secret
		end = "#" + hidden
	}
	pairs := strings.FieldsFunc(tail, func(r rune) bool { return r == '&' || r == ';' })
	for i, pair := range pairs {
		name, _, ok := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(strings.TrimLeft(name, "?"))
		switch {
		case ok && (err != nil || isSecret(plain)):
			pairs[i] = name + "=" + hidden
		case !ok && i > 0: // the end of a value with an & in it
			pairs[i] = hidden
		}
	}
	return strings.Join(pairs, "&") + end
}

// RedactError hides the secrets of u in the text of an error. [errors.Is] and
// [errors.As] still find what the error wraps.
func RedactError(err error, u *url.URL) error {
	text := err.Error()
	for _, secret := range secrets(u) {
		// A very short secret may occur anywhere in the text. To hide it everywhere
		// would tell what it is, so it is hidden only where it stands as a password.
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

// A redacted error has another text than the one that it wraps.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.err }

// secrets returns the password and the secret parameters of u, in each form in
// which an error might show them, the longest first.
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
	before := false // the parameter before is secret; its value may have an & in it
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		name, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok && before:
			all = append(all, name)
		case isSecret(name):
			all, before = append(all, value), true
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

// isSecret says whether a parameter of this name has a secret value.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	isIn := func(word string) bool { return strings.Contains(name, word) }
	return slices.ContainsFunc([]string{"pass", "secret", "token", "key", "cred"}, isIn)
}
