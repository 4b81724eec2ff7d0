package dsn

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Parse reads a URL that names a bus; it may name several servers. Schemes are
// those that an error tells to use.
//
// An error shows nothing of the URL, which may have a password in it. A / ? or # in
// a password that is not escaped makes the password end early. That leaves the @
// behind it in a place where no @ belongs; so such a URL is refused. A # in a
// parameter is refused, too: no URL of a bus has a fragment.
func Parse(rawURL, schemes string) (*url.URL, error) {
	u, err := readURL(rawURL)
	switch {
	case errors.Is(err, errURL), err == nil && (u.Opaque != "" || misplacedAt(u)):
		return nil, fmt.Errorf("the URL cannot be read: want one of %s followed by host:port/…, "+
			"with special characters in passwords and parameters escaped as %%XX", schemes)
	case err == nil && u.Fragment != "":
		return nil, errors.New("no URL of ours has a part behind #: " +
			"escape it as %23 in passwords and parameters")
	case err != nil:
		return nil, fmt.Errorf("%w; special characters in passwords are escaped as %%XX", err)
	}
	return u, nil
}

// misplacedAt says whether there is an @ behind the host of u.
func misplacedAt(u *url.URL) bool {
	return strings.Contains(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@")
}

// Place shows a URL without user, password and parameters.
func Place(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// SplitURLs splits a text that holds URLs with space between them. Each may be a
// list of servers, with space around its commas.
func SplitURLs(text string) (all []string) {
	for _, field := range strings.Fields(text) {
		last := len(all) - 1
		if last >= 0 && (strings.HasSuffix(all[last], ",") || strings.HasPrefix(field, ",")) {
			all[last] += field
			continue
		}
		all = append(all, field)
	}
	return all
}
