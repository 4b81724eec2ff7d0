package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// A trusted proxy says whose request it passes on, in the one header that
// [Config.ProxyHeader] names. By default that is X-Forwarded-For: a list of addresses
// to which each proxy adds its client's. Forwarded ([RFC 7239]) says the same in
// another form. Only one of the two is believed, since a proxy sets one of them and
// passes on the other as the client made it up.
//
// [RFC 7239]: https://www.rfc-editor.org/rfc/rfc7239

// A caller is the client behind a request, as far as that can be known.
type caller struct {
	// addr is the zero Addr if even the connection has none. IPv6 addresses count by
	// their /64 network.
	addr  netip.Addr
	whole netip.Addr // addr, and of IPv6 not only the network

	// unnamed says why addr is a proxy's address instead of the client's, so that
	// all clients of the proxy look like one. It is hopMissing, hopUnreadable, or ""
	// if addr is the client's.
	unnamed string
	hop     string // what could not be read
}

// The values of caller.unnamed.
const (
	hopMissing    = "missing"
	hopUnreadable = "unreadable"
)

// caller returns the address of the connection. If that is a trusted proxy's, it
// returns the last address in the header that is not a trusted proxy's.
func (reg *Registry) caller(r *http.Request) (c caller) {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return c
	}
	c.addr = at.Addr().Unmap().WithZone("")
	rest := strings.Join(r.Header.Values(reg.cfg.ProxyHeader), ",")
	if strings.Trim(rest, ", \t") == "" && contains(reg.cfg.Proxies, c.addr) {
		c.unnamed = hopMissing
	}
	for rest != "" && contains(reg.cfg.Proxies, c.addr) {
		var hop string
		if rest, hop = lastElement(rest); strings.TrimSpace(hop) == "" {
			continue
		}
		addr, ok := reg.parseHop(hop)
		if !ok {
			c.unnamed, c.hop = hopUnreadable, hop
			break
		}
		c.addr = addr
	}
	if c.whole = c.addr; c.addr.Is6() {
		network, _ := c.addr.Prefix(64) // 64 bits fit
		c.addr = network.Addr()
	}
	return c
}

// overTLS reports whether the browser's connection is known to use TLS: because this
// node ends it, or because a trusted proxy says so.
func (reg *Registry) overTLS(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !contains(reg.cfg.Proxies, at.Addr().Unmap().WithZone("")) {
		return false
	}
	name := "X-Forwarded-Proto"
	if reg.forwarded() {
		name = forwardedHeader
	}
	_, proto := lastElement(strings.Join(r.Header.Values(name), ","))
	if reg.forwarded() {
		proto, _ = parameter(proto, "proto")
	}
	proto = strings.TrimSpace(proto)
	return strings.EqualFold(proto, "https") || strings.EqualFold(proto, "wss")
}

const forwardedHeader = "Forwarded"

// forwarded reports whether Config.ProxyHeader has the form of RFC 7239.
func (reg *Registry) forwarded() bool {
	return strings.EqualFold(reg.cfg.ProxyHeader, forwardedHeader)
}

// lastElement cuts the last element off a list. It reads from the end, since only the
// end was written by a trusted proxy: a quote that a client left open before it must
// not swallow it.
func lastElement(list string) (rest, last string) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch {
		case list[i] == '"' && !escaped(list, i):
			quoted = !quoted
		case list[i] == ',' && !quoted:
			return list[:i], list[i+1:]
		}
	}
	return "", list
}

// escaped reports whether the byte at i has a backslash before it that is not itself
// escaped. Proxies escape quotes that a client has put into Host.
func escaped(text string, i int) bool {
	before := text[:i]
	return (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1
}

// cutPair cuts the first parameter (name=value) off an element of Forwarded.
func cutPair(element string) (pair, rest string) {
	quoted := false
	for i := range len(element) {
		switch {
		case element[i] == '"' && !escaped(element, i):
			quoted = !quoted
		case element[i] == ';' && !quoted:
			return element[:i], element[i+1:]
		}
	}
	return element, ""
}

// parseHop returns the address that an element of Config.ProxyHeader names.
func (reg *Registry) parseHop(element string) (netip.Addr, bool) {
	if reg.forwarded() {
		node, found := parameter(element, "for")
		if !found {
			return netip.Addr{}, false
		}
		element = node
	}
	return parseNode(element)
}

// parameter returns a parameter of an element of Forwarded. A parameter that is there
// twice counts as not found.
func parameter(element, name string) (value string, found bool) {
	for rest := element; rest != ""; {
		var pair string
		pair, rest = cutPair(rest)
		key, text, ok := strings.Cut(pair, "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(key), name) {
			continue
		}
		if found {
			return "", false
		}
		value, found = strings.Trim(strings.TrimSpace(text), `"`), true
	}
	return value, found
}

// parseNode reads an address with or without a port, in quotes or not: proxies
// write 192.0.2.1, 192.0.2.1:99, 2001:db8::1, [2001:db8::1] and [2001:db8::1]:99. It
// does not take what RFC 7239 allows instead of an address: "unknown", and names that
// hide it ("_a1").
func parseNode(text string) (netip.Addr, bool) {
	text = strings.Trim(strings.TrimSpace(text), `"`)
	host, port, inBrackets := strings.Cut(strings.TrimPrefix(text, "["), "]")
	switch {
	case strings.HasPrefix(text, "[") && inBrackets:
		if port != "" && port[0] != ':' {
			return netip.Addr{}, false
		}
	case strings.Count(text, ":") == 1:
		host, _, _ = strings.Cut(text, ":")
	default:
		host = text
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// CheckProxyHeader returns why a header cannot be [Config.ProxyHeader].
func CheckProxyHeader(name string) error {
	if name == "" || strings.ContainsFunc(name, notInHeader) {
		return fmt.Errorf("%q is no name of a header, such as X-Forwarded-For or Forwarded", name)
	}
	if strings.EqualFold(name, "Host") {
		return errors.New("the header Host names this node, and no client: " +
			"want X-Forwarded-For or Forwarded")
	}
	return nil
}

func notInHeader(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' ||
		r == '_')
}
