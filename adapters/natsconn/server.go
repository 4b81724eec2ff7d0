package natsconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

// A Server says where a NATS cluster is and how to log in. It holds no connection,
// and is safe for concurrent use.
type Server struct {
	hosts        []string // of one cluster
	replyTimeout time.Duration
	inboxPrefix  string
	options      nats.Options // all but what belongs to one connection
	tls          *dsn.TLS     // nil for plain TCP
}

// Parse reads a URL such as "nats://user:password@host:4222,other:4222", and the
// parameters that the NATS transports share. The caller reads its own parameters from
// params, and then asks it for Err.
//
//	dial_timeout      to connect and log in to one host, default 2s
//	reply_timeout     for an answer, default 2s
//	write_timeout     for the network to take what is sent, default 700ms
//	ping_interval     a connection that is silent for twice as long is dead, default 2s
//	token             to log in with, instead of user and password
//	creds             file with a JWT and a seed, as `nsc` writes it
//	nkey              file with the seed of an nkey
//	inbox_prefix      the beginning of subjects for answers, default _INBOX
//	tls               true: encrypt; implied by the others
//	tls_ca            file with the authorities to trust, PEM
//	tls_cert, tls_key files with the certificate to show, PEM
//	tls_server_name   the name to expect in the server's certificate
//	tls_skip_verify   true: accept any certificate
func Parse(u *url.URL, params *dsn.Params) (*Server, error) {
	s := &Server{
		replyTimeout: params.Timeout("reply_timeout", 2*time.Second, 10*time.Millisecond),
		inboxPrefix:  params.String("inbox_prefix", "_INBOX"),
	}
	o := nats.GetDefaultOptions()
	o.Name = "fanfare"
	o.AllowReconnect = false
	o.SkipHostLookup = true // the dialer does it, bounded by its context
	o.Timeout = params.Timeout("dial_timeout", 2*time.Second, 10*time.Millisecond)
	o.FlusherTimeout = params.Timeout("write_timeout", 700*time.Millisecond, 10*time.Millisecond)
	o.PingInterval = params.Timeout("ping_interval", 2*time.Second, 100*time.Millisecond)
	o.MaxPingsOut = 1
	o.InboxPrefix = s.inboxPrefix
	s.options = o
	var faults [3]error
	s.hosts, faults[0] = parseHosts(u)
	faults[1] = s.parseLogin(u, params)
	s.tls = params.TLS()
	s.options.Secure = s.tls != nil
	if CheckTopic(s.inboxPrefix) != nil {
		faults[2] = errors.New("inbox_prefix: want a subject without wildcards")
	}
	return s, errors.Join(faults[:]...)
}

func parseHosts(u *url.URL) ([]string, error) {
	if strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("path %q: a NATS URL has none", u.Path)
	}
	all := strings.Split(u.Host, ",")
	for i, h := range all {
		if h == "" || h[0] == ':' {
			return nil, errors.New("the URL names no host: want host:port")
		}
		if _, port, err := net.SplitHostPort(h); err != nil || port == "" {
			h = strings.TrimSuffix(h, ":")
			h = net.JoinHostPort(strings.Trim(h, "[]"), "4222")
		}
		all[i] = "nats://" + h
	}
	return all, nil
}

// parseLogin reads the login, which may be given in one way only.
func (s *Server) parseLogin(u *url.URL, params *dsn.Params) error {
	o := &s.options
	ways := 0 // in which the login is given
	if u.User != nil {
		var ok bool
		if o.Password, ok = u.User.Password(); !ok {
			return errors.New("the URL names a user without a password: want user:password@, or ?token=")
		}
		o.User = u.User.Username()
		ways++
	}
	if o.Token = params.String("token", ""); o.Token != "" {
		ways++
	}
	var faults []error
	for name, set := range map[string]func(file string) (nats.Option, error){
		"creds": func(file string) (nats.Option, error) { return nats.UserCredentials(file), readable(file) },
		"nkey":  nats.NkeyOptionFromSeed,
	} {
		file := params.String(name, "")
		if file == "" {
			continue
		}
		ways++
		option, err := set(file)
		if err == nil {
			err = option(o)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	if ways > 1 {
		faults = append(faults, errors.New("give one of user:password@, token, creds and nkey"))
	}
	return errors.Join(faults...)
}

func readable(file string) error {
	_, err := os.ReadFile(file)
	return err
}

// ReplyTimeout is how long the server may take to answer.
func (s *Server) ReplyTimeout() time.Duration { return s.replyTimeout }

// Client returns a client that connects when it is first used. The caller
// closes it.
func (s *Server) Client() *Client {
	c := &Client{server: s}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}
