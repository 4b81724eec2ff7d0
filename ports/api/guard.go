package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// DevGuard protects a node in development, which trusts every client, from all clients
// but those on its own machine. It refuses callers from elsewhere, hosts that are not
// loopback (DNS rebinding), pages of other hosts, requests that came through a proxy or a
// tunnel, and bodies that a page could send without a CORS preflight.
func DevGuard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := guard(r); p != nil {
			p.write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guard returns why DevGuard refuses a request, nil if it does not.
func guard(r *http.Request) *Problem {
	const why = "development mode is for this machine only: "
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return problem(http.StatusForbidden, why+"the caller is another one")
	}
	if !loopback(r.Host) {
		return problem(http.StatusForbidden, why+"use 127.0.0.1 or localhost as the host")
	}
	for _, origin := range r.Header["Origin"] {
		if u, err := url.Parse(origin); err != nil || !loopback(u.Host) {
			return problem(http.StatusForbidden, why+"the page is of another one")
		}
	}
	for name := range r.Header {
		if name == "Forwarded" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			return problem(http.StatusForbidden, why+"the request came through a proxy or a tunnel")
		}
	}
	if r.ContentLength != 0 {
		if _, p := bodyForm(r); p != nil {
			return p
		}
	}
	return nil
}

// loopback reports whether a host, with or without a port, names this machine in a way
// that nobody else can own.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}
