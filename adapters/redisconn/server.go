package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

// A Server says where a Redis is and how to enter. It is safe for concurrent
// use and holds no connection.
type Server struct {
	addrs    []string // one server, or the sentinels
	master   string   // the name that the sentinels know; "" without sentinels
	login    login    // of the server
	sentinel login    // of the sentinels
	db       int
	tls      *tls.Config // nil: plain TCP
	dial     time.Duration
	reply    time.Duration
	pool     int
}

// A login is what AUTH is told: a password, or a user and a password. The zero
// login is none.
type login struct{ user, password string }

// Parse reads a URL such as "redis://user:password@host:6379/0" and the
// parameters that all Redis transports share. A scheme that begins with rediss
// means TLS, as Redis's own clients have it. The caller asks params for its own
// ones and for Err.
//
//	dial_timeout      to connect and log in, default 3s
//	reply_timeout     for an answer, default 2s
//	pool              most connections to publish with, default 8
//	sentinel_master   ask the hosts of the URL, h1:26379,h2:26379, where this master is
//	sentinel_user, sentinel_password
//	                  to log in to the sentinels; the URL's user and password are for the master
//	tls…              those of dsn.Params.TLS, for the sentinels as well
func Parse(u *url.URL, params *dsn.Params) (*Server, error) {
	s := &Server{
		master: params.String("sentinel_master", ""),
		dial:   params.Duration("dial_timeout", 3*time.Second, 10*time.Millisecond),
		reply:  params.Duration("reply_timeout", 2*time.Second, 10*time.Millisecond),
		pool:   params.Int("pool", 8, 1),
		sentinel: login{
			user:     params.String("sentinel_user", ""),
			password: params.String("sentinel_password", ""),
		},
	}
	var faults [4]error
	s.addrs, faults[0] = parseHosts(u.Host, s.master != "")
	s.db, faults[1] = parseDB(u.Path)
	s.login, faults[2] = parseLogin(u.User)
	faults[3] = s.checkSentinel()
	s.tls = params.SchemeTLS(u.Scheme, strings.HasPrefix(u.Scheme, "rediss"))
	return s, errors.Join(faults[:]...)
}

func parseLogin(u *url.Userinfo) (login, error) {
	l := login{user: u.Username()}
	l.password, _ = u.Password()
	if l.user != "" && l.password == "" {
		return l, errors.New("the URL names a user without a password: " +
			"want user:password@, or :password@ for the default user")
	}
	return l, nil
}

func (s *Server) checkSentinel() error {
	switch {
	case s.sentinel != login{} && s.master == "":
		return errors.New("sentinel_user and sentinel_password need sentinel_master: " +
			"the name of the master that the sentinels know")
	case s.sentinel.user != "" && s.sentinel.password == "":
		return errors.New("sentinel_user needs sentinel_password")
	}
	return nil
}

func parseHosts(hosts string, sentinels bool) ([]string, error) {
	all := strings.Split(hosts, ",")
	if len(all) > 1 && !sentinels {
		return nil, errors.New("several hosts need sentinel_master: the name of the master that these sentinels know")
	}
	port := "6379"
	if sentinels {
		port = "26379"
	}
	for i, h := range all {
		if h == "" || h[0] == ':' {
			return nil, errors.New("the URL names no host: want host:port")
		}
		if _, _, err := net.SplitHostPort(h); err != nil {
			all[i] = net.JoinHostPort(strings.Trim(h, "[]"), port)
		}
	}
	return all, nil
}

func parseDB(path string) (int, error) {
	path = strings.Trim(path, "/")
	if path == "" {
		return 0, nil
	}
	db, err := strconv.Atoi(path)
	if err != nil || db < 0 {
		return 0, fmt.Errorf("path %q: want the number of a database, such as /0", path)
	}
	return db, nil
}

// DB is the number of the database.
func (s *Server) DB() int { return s.db }

// ReplyTimeout is how long the server may take to answer.
func (s *Server) ReplyTimeout() time.Duration { return s.reply }

// Client returns a client to publish with: it tries once, obeys contexts, and
// connects when it is first used. The caller closes it.
func (s *Server) Client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:     s.addrs[0], // a label: Dialer finds the server
		Dialer:   func(ctx context.Context, _, _ string) (net.Conn, error) { return s.connect(ctx) },
		Username: s.login.user, Password: s.login.password, DB: s.db,
		Protocol: 2, DisableIdentity: true,
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: s.dial, ReadTimeout: s.reply, WriteTimeout: s.reply,
		PoolSize: s.pool, PoolTimeout: s.reply, PipelinePoolSize: -1,
		WriteBufferSize: bufferSize,
	})
}

// Dial opens a connection and logs in. The caller closes it.
func (s *Server) Dial(ctx context.Context) (*Conn, error) {
	nc, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	c := NewConn(nc, s.reply)
	if err := s.enter(ctx, c); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// enter logs in and chooses the database.
func (s *Server) enter(ctx context.Context, c *Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.dial)
	defer cancel()
	defer c.Bound(ctx)()
	replies := s.login.queue(c)
	if s.db != 0 {
		c.Queue("SELECT", strconv.Itoa(s.db))
		replies++
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if err := c.allOK(replies); err != nil {
		return fmt.Errorf("log in to redis: %w", err)
	}
	return nil
}

// queue queues what logs in, and returns how many replies that will have.
func (l login) queue(c *Conn) int {
	switch {
	case l.user != "":
		c.Queue("AUTH", l.user, l.password)
	case l.password != "":
		c.Queue("AUTH", l.password)
	default:
		return 0
	}
	return 1
}

// connect finds the server and connects to it, TLS handshake included.
func (s *Server) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.dial)
	defer cancel()
	if s.master == "" {
		return s.connectTo(ctx, s.addrs[0])
	}
	var faults []error
	for _, sentinel := range s.addrs {
		addr, err := s.ask(ctx, sentinel)
		if err == nil {
			return s.connectTo(ctx, addr)
		}
		faults = append(faults, fmt.Errorf("sentinel %s: %w", sentinel, err))
	}
	return nil, errors.Join(faults...)
}

// ask asks one sentinel where the master is. The sentinels share the time, so
// that one of them that swallows bytes leaves some for the next.
func (s *Server) ask(ctx context.Context, sentinel string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.dial/time.Duration(len(s.addrs)+1))
	defer cancel()
	nc, err := s.connectTo(ctx, sentinel)
	if err != nil {
		return "", err
	}
	c := NewConn(nc, s.reply)
	defer c.Close()
	defer c.Bound(ctx)()
	replies := s.sentinel.queue(c)
	c.Queue("SENTINEL", "get-master-addr-by-name", s.master)
	if err := c.Flush(); err != nil {
		return "", err
	}
	if err := c.allOK(replies); err != nil {
		return "", fmt.Errorf("log in to the sentinel: %w", err)
	}
	n, err := c.Array()
	if err != nil {
		return "", err
	}
	if n != 2 {
		return "", fmt.Errorf("no master is called %q", s.master)
	}
	host, err := c.Text()
	if err != nil {
		return "", err
	}
	port, err := c.Text()
	return net.JoinHostPort(host, port), err
}

func (s *Server) connectTo(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	if s.tls == nil {
		return d.DialContext(ctx, "tcp", addr)
	}
	return (&tls.Dialer{NetDialer: &d, Config: s.tls}).DialContext(ctx, "tcp", addr)
}
