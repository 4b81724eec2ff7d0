package dsn

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Parse reads a URL, which may name several servers; schemes are those that an
// error tells to use. What it cannot read it does not show, for there may be a
// password in it. An unescaped / ? or # in a password makes it end early: that
// leaves the @ behind it in a place where none belongs. A # in a parameter does
// the same, and no URL of ours has a fragment.
func Parse(rawURL, schemes string) (*url.URL, error) {
	u, err := readURL(rawURL)
	switch {
	case errors.Is(err, errURL), err == nil && (u.Opaque != "" || strings.Contains(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@")):
		return nil, fmt.Errorf("the URL cannot be read: want one of %s followed by host:port/…, "+
			"with special characters in passwords and parameters escaped as %%XX", schemes)
	case err == nil && u.Fragment != "":
		return nil, errors.New("no URL of ours has a part behind #: escape it as %23 in passwords and parameters")
	case err != nil:
		return nil, fmt.Errorf("%w; special characters in passwords are escaped as %%XX", err)
	}
	return u, nil
}
