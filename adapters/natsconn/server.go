package natsconn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

// A Server says where a NATS is and how to enter. It is safe for concurrent use
// and holds no connection.
type Server struct {
	hosts   []string // of one cluster
	reply   time.Duration
	inbox   string
	options nats.Options // all but what belongs to one connection
}

// Parse reads a URL such as "nats://user:password@host:4222,other:4222" (what
// else a list can look like package transport knows), and the parameters that the NATS transports share. The caller asks params for its own
// ones and for Err.
//
//	dial_timeout      to connect and log in to one host, default 2s
//	reply_timeout     for an answer, default 2s
//	write_timeout     for the network to take what is sent, default 700ms
//	ping_interval     a connection that is silent for twice as long is dead, default 2s
//	token             to log in with, instead of user and password
//	creds             file with a JWT and a seed, as `nsc` writes it
//	nkey              file with the seed of an nkey
//	inbox_prefix      what subjects for answers begin with, default _INBOX
//	tls               true: encrypt; implied by the others
//	tls_ca            file with the authorities to trust, PEM
//	tls_cert, tls_key files with the certificate to show, PEM
//	tls_server_name   the name to expect in the server's certificate
//	tls_skip_verify   true: accept any certificate
func Parse(u *url.URL, params *dsn.Params) (*Server, error) {
	s := &Server{
		reply: params.Timeout("reply_timeout", 2*time.Second, 10*time.Millisecond),
		inbox: params.String("inbox_prefix", "_INBOX"),
	}
	o := nats.GetDefaultOptions()
	o.Name = "fanfare"
	o.AllowReconnect = false
	o.SkipHostLookup = true // the dialer looks, bounded by its context
	o.Timeout = params.Timeout("dial_timeout", 2*time.Second, 10*time.Millisecond)
	o.FlusherTimeout = params.Timeout("write_timeout", 700*time.Millisecond, 10*time.Millisecond)
	o.PingInterval = params.Timeout("ping_interval", 2*time.Second, 100*time.Millisecond)
	o.MaxPingsOut = 1
	o.InboxPrefix = s.inbox
	s.options = o
	var faults [3]error
	s.hosts, faults[0] = parseHosts(u)
	faults[1] = s.parseLogin(u, params)
	s.options.TLSConfig = params.TLS()
	s.options.Secure = s.options.TLSConfig != nil
	if CheckTopic(s.inbox) != nil {
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

// parseLogin reads who we are, which can be said in one way.
func (s *Server) parseLogin(u *url.URL, params *dsn.Params) error {
	o := &s.options
	ways := 0
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
func (s *Server) ReplyTimeout() time.Duration { return s.reply }

// Client returns a client that connects when it is first used. The caller
// closes it.
func (s *Server) Client() *Client {
	c := &Client{server: s}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// dial connects to one of the hosts, in no order, and logs in; the end of ctx
// ends that. Its error says what each of them answered.
func (s *Server) dial(ctx context.Context) (*Conn, error) {
	var faults error
	for _, i := range rand.Perm(len(s.hosts)) {
		c, err := s.dialHost(ctx, s.hosts[i])
		if err == nil {
			return c, nil
		}
		if len(s.hosts) > 1 {
			err = fmt.Errorf("%s: %w", s.hosts[i], err)
		}
		if faults != nil {
			err = fmt.Errorf("%w; %w", faults, err)
		}
		faults = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, faults
}

func (s *Server) dialHost(ctx context.Context, host string) (*Conn, error) {
	c := &Conn{ended: make(chan struct{}), watches: make(map[*Watch]struct{}), reply: s.reply, inbox: s.inbox}
	o := s.options
	o.Servers = []string{host}
	way := &dialer{ctx: ctx, timeout: o.Timeout, conn: c}
	o.CustomDialer = way
	o.AsyncErrorCB = c.failed
	o.ClosedCB = func(*nats.Conn) { close(c.ended) }
	var err error
	if c.Conn, err = o.Connect(); err != nil {
		if way.failed != nil {
			err = way.failed // nats.go says "no servers available"
		}
		return nil, err
	}
	return c, nil
}
