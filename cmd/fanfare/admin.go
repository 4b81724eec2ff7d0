package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/fanfarebus/fanfare"
)

// publicHandler returns what answers on listen. Metrics and the documentation of the API
// are there if the settings say so; else for this machine alone, and only if listen is
// of this machine alone.
func publicHandler(
	node *fanfare.Node, cfg fanfare.Config, listen net.Addr, log *slog.Logger,
) http.Handler {
	switch {
	case cfg.AdminListen != "" || cfg.Admin.Public || cfg.Dev:
		return node.Handler()
	case !isLoopback(listen.String()):
		log.Info("/metrics, /docs and /console are not served, since listen is not of this machine alone: " +
			"set admin_listen to serve them on another address, or admin.public to serve them here")
		return node.Handler()
	}
	return withLocalAdmin(node.Handler(), node.AdminHandler())
}

// withLocalAdmin lets admin answer for its paths if the caller is on this machine, and
// public otherwise, which says where they are.
func withLocalAdmin(public, admin http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics", "/docs", "/openapi.json", "/console":
			if isLocal(r) {
				admin.ServeHTTP(w, r)
				return
			}
		}
		public.ServeHTTP(w, r)
	})
}

// isLocal reports whether a request was made on this machine, under a name that only
// this machine has. Proxies say that the client is elsewhere, and a page of another
// host that resolves to this machine says the other host's name.
func isLocal(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" ||
			strings.HasPrefix(name, "X-Forwarded-") {
			return false
		}
	}
	return isLoopback(r.RemoteAddr) && isLoopback(r.Host)
}

// isLoopback reports whether an address or a host, with or without a port, is of this
// machine alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
