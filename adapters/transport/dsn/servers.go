package dsn

import (
	"errors"
	"net/url"
	"strings"
)

var (
	errURL   = errors.New("the URL cannot be read")
	errUsers = errors.New("all servers of a list have the same user: " +
		"name it for the first, or for each the same")
	errSchemes = errors.New("all servers of a list have the same scheme")
	errPaths   = errors.New("of the servers of a list only the last can be followed by a path")
)

// tlsScheme is what the clients of NATS write before a server that demands TLS.
const tlsScheme = "tls"

// readURL is [url.Parse] for a URL that may name several servers, as the brokers'
// own clients take it: with commas between hosts, or between whole URLs.
//
//	kafka://user:password@a:9092,b:9092?tls=true
//	nats://user:password@a:4222, nats://user:password@b:4222
//	nats://a,tls://b
//
// The URL that it returns has the first server's scheme, one user, and as its Host
// all hosts with commas between them. The scheme tls:// of a server becomes the
// parameter tls=true. Errors show nothing of the URL.
func readURL(raw string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return parseURL(raw)
	}
	end := len(rest)
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		end = i
	}
	list, tail := strings.Split(rest[:end], ","), rest[end:]
	if !isList(list) {
		list = []string{rest[:end]}
	}
	l, err := readServers(scheme, list)
	if err != nil {
		return nil, err
	}
	u, err := parseURL(scheme + "://" + l.user + l.hosts[0] + l.path + tail)
	if err != nil {
		return nil, err
	}
	u.Host = strings.Join(l.hosts, ",")
	if l.tls && !u.Query().Has("tls") {
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&tls=true", "&")
	}
	return u, nil
}

// parseURL is [url.Parse] with an error that shows nothing of the URL.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errURL // err would show the URL
	}
	return u, nil
}

// isList says whether the parts between commas are servers. A comma may also stand
// in a password or in a path.
func isList(parts []string) bool {
	for i, part := range parts[1:] {
		passwordEnds := !strings.Contains(part, "://") && strings.Contains(part, "@")
		if passwordEnds && !strings.Contains(parts[i], "@") {
			return false
		}
	}
	hasPath := strings.Contains(strings.Trim(parts[0], "/"), "/")
	return !hasPath || len(parts) > 1 && strings.Contains(parts[1], "://")
}

// servers are what a list of servers says.
type servers struct {
	hosts []string
	user  string // with its @; "" if there is none
	path  string
	tls   bool
}

// readServers reads a list of servers; scheme is that of the first, which is
// already cut off.
func readServers(scheme string, list []string) (s servers, err error) {
	s.tls = scheme == tlsScheme
	for i, server := range list {
		server = strings.TrimSpace(server)
		if own, rest, ok := strings.Cut(server, "://"); ok && i > 0 {
			if own != scheme && own != tlsScheme {
				return s, errSchemes
			}
			s.tls, server = s.tls || own == tlsScheme, rest
		}
		user, host := "", server
		if at := strings.LastIndexByte(server, '@'); at >= 0 {
			user, host = server[:at+1], server[at+1:]
		}
		if i == 0 {
			s.user = user
		} else if user != "" && user != s.user {
			return s, errUsers
		}
		path := ""
		if slash := strings.IndexByte(host, '/'); slash >= 0 {
			host, path = host[:slash], host[slash:]
		}
		switch {
		case i == len(list)-1:
			s.path = path
		case path != "" && path != "/":
			return s, errPaths
		}
		if u, err := parseURL("x://" + host); err != nil || u.Host != host {
			return s, errURL
		}
		s.hosts = append(s.hosts, host)
	}
	return s, nil
}
