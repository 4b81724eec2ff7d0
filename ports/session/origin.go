package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An origin is where a page is from, as browsers write it ([RFC 6454 §6.2]), but in
// lower case and without the default port of its scheme.
//
// [RFC 6454 §6.2]: https://www.rfc-editor.org/rfc/rfc6454#section-6.2
type origin struct{ scheme, host, port string }

// A pattern is an entry of [Config.Origins].
type pattern struct {
	origin
	below   bool // matches any host below host, and not host itself
	anyPort bool
}

// origins are the pages that may connect although they are not this host's.
type origins struct {
	any  bool // "*"
	list []pattern
}

// CheckOrigin returns why an entry of [Config.Origins] cannot work.
func CheckOrigin(text string) error {
	if text == "*" {
		return nil
	}
	_, err := parsePattern(text)
	return err
}

func parseOrigins(texts []string) (all origins, err error) {
	var faults []error
	for _, text := range texts {
		if text == "*" {
			all.any = true
			continue
		}
		p, err := parsePattern(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("origin %q: %w", text, err))
		}
		all.list = append(all.list, p)
	}
	return all, errors.Join(faults...)
}

// parsePattern reads an origin in which the first label of the host, or the
// port, may be a star.
func parsePattern(text string) (p pattern, err error) {
	bare := text
	if port, ok := strings.CutSuffix(bare, ":*"); ok {
		p.anyPort, bare = true, port
	}
	if scheme, host, ok := strings.Cut(bare, "://*."); ok {
		p.below, bare = true, scheme+"://"+host
	}
	p.origin, err = parseOrigin(bare)
	switch {
	case text == "null":
		return p, errors.New("null is every page without an origin, " +
			"sandboxed ones of strangers too: it cannot be allowed")
	case err != nil:
		return p, explainOrigin(text, err)
	case p.anyPort && p.port != "" || p.below && isAddr(p.host):
		return p, errPattern
	case endsInNumber(p.host) && (p.below || !isAddr(p.host)):
		return p, errors.New("browsers take a host that ends in a number for an IPv4 address, " +
			"and write all four parts of it, as in http://127.0.0.1")
	case p.below && p.host != "localhost" && !strings.Contains(strings.Trim(p.host, "."), "."):
		return p, fmt.Errorf("*.%s is everybody: "+
			"name the domain below it, as in https://*.example.%s", p.host, p.host)
	}
	return p, nil
}

var errPattern = errors.New("want scheme://host or scheme://host:port, " +
	"such as https://app.example.com, https://*.example.com or http://localhost:*; or * for any")

// explainOrigin returns an error that says more than err about mistakes that people
// often make.
func explainOrigin(text string, err error) error {
	scheme, rest, found := strings.Cut(text, "://")
	host, path, hasPath := strings.Cut(rest, "/")
	switch {
	case !found:
		return fmt.Errorf("there is no scheme: want https://%s", text)
	case hasPath && path == "" && host != "":
		return fmt.Errorf("an origin ends without a slash: want %s://%s", scheme, host)
	case hasPath && host != "":
		return fmt.Errorf("an origin has no path: want %s://%s", scheme, host)
	case !isASCII(host):
		return errors.New("write the host as browsers send it, in ASCII: xn--…")
	case strings.Contains(host, "*"):
		return errors.New("a star stands for whole labels in front of the host, " +
			"as in https://*.example.com, or for the port")
	}
	return err
}

// parseOrigin reads an origin. It also takes upper case and default ports, which
// people write and browsers never send.
func parseOrigin(text string) (o origin, err error) {
	scheme, authority, found := strings.Cut(strings.ToLower(text), "://")
	// ToLower makes ASCII of some letters that are not, as of the Kelvin sign.
	if !found || !isScheme(scheme) || !isASCII(text) {
		return o, errPattern
	}
	o.scheme = scheme
	o.host, o.port, err = splitHost(authority)
	if o.port == defaultPorts[scheme] {
		o.port = ""
	}
	return o, err
}

var defaultPorts = map[string]string{"http": "80", "https": "443", "ws": "80", "wss": "443"}

// splitHost returns host and port in the one spelling that can be compared.
func splitHost(authority string) (host, port string, err error) {
	host = strings.ToLower(authority)
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		n, err := strconv.ParseUint(host[i+1:], 10, 16)
		if err != nil || n == 0 || host[i+1] == '+' {
			return "", "", errPattern
		}
		host, port = host[:i], strconv.FormatUint(n, 10)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(inner, "]") {
			return "", "", errPattern
		}
		return "[" + addr.String() + "]", port, nil
	}
	if host == "" || strings.ContainsFunc(host, notInHost) || strings.HasPrefix(host, ".") ||
		strings.Contains(host, "..") {
		return "", "", errPattern
	}
	return host, port, nil
}

func notInHost(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func isScheme(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z'
		if !letter && (i == 0 || !(r >= '0' && r <= '9' || r == '+' || r == '-' || r == '.')) {
			return false
		}
	}
	return s != ""
}

// endsInNumber reports whether browsers would read the host as an IPv4 address: its
// last label is a number.
func endsInNumber(host string) bool {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := labels[len(labels)-1]
	_, err := strconv.ParseUint(last, 0, 64) // hexadecimal, too
	return err == nil || strings.Trim(last, "0123456789") == ""
}

func isAddr(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

func (p *pattern) matches(o origin) bool {
	host := o.host == p.host
	if p.below {
		host = strings.HasSuffix(o.host, "."+p.host) && len(o.host) > len(p.host)+1
	}
	return host && o.scheme == p.scheme && (p.anyPort || o.port == p.port)
}

// names reports whether an entry of the list matches the origin. The entry "*" does
// not count: it allows everybody and names nobody.
func (all *origins) names(o origin) bool {
	for i := range all.list {
		if all.list[i].matches(o) {
			return true
		}
	}
	return false
}

// AllowedOrigin reports whether the request is from a page that may open sessions, or
// from no page at all. The origin is the page's, "" without a page, or "*" if the
// page is allowed only because all pages are.
func (reg *Registry) AllowedOrigin(r *http.Request) (origin string, allowed bool) {
	switch sent := r.Header.Values("Origin"); {
	case len(sent) == 0 || len(sent) == 1 && sent[0] == "":
		return "", true
	case len(sent) > 1:
		return "", false // no browser does that
	default:
		return reg.allows(r, sent[0])
	}
}

// allows is AllowedOrigin for a page whose origin is text.
func (reg *Registry) allows(r *http.Request, text string) (origin string, allowed bool) {
	o, err := parseOrigin(text) // an error for "null" and other texts that are no origin
	switch {
	case err == nil && reg.origins.names(o):
		return text, true
	case err == nil && reg.ownPage(r, o):
		return text, reg.origins.any || len(reg.origins.list) == 0
	case reg.origins.any:
		return "*", true
	}
	return text, false
}

// ownPage reports whether a page of the origin is this very host's. Its scheme must
// not be less safe than the request's: an attacker who can change a page that comes
// over http must not get at what the browser sends over https. A page of https whose
// request comes as http is fine: browsers do not send that, so there is a proxy
// between that ends TLS.
func (reg *Registry) ownPage(r *http.Request, o origin) bool {
	if o.scheme != "https" && (o.scheme != "http" || reg.overTLS(r)) {
		return false
	}
	host, port, err := splitHost(r.Host)
	if port == defaultPorts[o.scheme] {
		port = ""
	}
	return err == nil && host == o.host && port == o.port
}
