package redisconn

import (
	"cmp"
	"context"
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

// Defaults of the URL parameters that all Redis drivers share.
const (
	DefaultDialTimeout  = 3 * time.Second // dial_timeout
	DefaultReplyTimeout = 2 * time.Second // reply_timeout
	DefaultPool         = 8               // pool: connections to publish with
)

// minTimeout is the shortest timeout that a URL may name.
const minTimeout = 10 * time.Millisecond

// A Server says where a Redis server or a Redis Cluster is and how to log in. It
// holds no connection, and is safe for concurrent use.
type Server struct {
	addrs    []string // of the server, of the sentinels, or of some servers of the cluster
	master   string   // the name by which the sentinels know the server; "" without sentinels
	login    login    // to the server
	sentinel login    // to the sentinels
	db       int
	cluster  bool              // the servers are a Redis Cluster
	addrMap  map[string]string // where servers of the cluster are reached, by the address that it names
	tls      *dsn.TLS          // nil for plain TCP

	dialTimeout  time.Duration // to connect and to log in, each
	replyTimeout time.Duration
	poolSize     int
}

// A login holds the arguments of AUTH: a password, or a user and a password. The
// zero login means that no AUTH is sent.
type login struct{ user, password string }

// Parse reads a URL such as "redis://user:password@host:6379/0", and from params
// the parameters that all Redis drivers share. A scheme that begins with "rediss"
// means TLS, as it does to Redis's own clients. The caller then asks params for the
// parameters of its own driver, and calls params.Err.
//
//	dial_timeout      for connecting and logging in, default 3s
//	reply_timeout     for a reply, default 2s
//	pool              most connections to publish with, default 8
//	sentinel_master   the master's name; the hosts of the URL, h1:26379,h2:26379, are then
//	                  sentinels that are asked where the master is
//	sentinel_user, sentinel_password
//	                  for the sentinels; the user and password of the URL are for the master
//	cluster           the servers are a Redis Cluster; the hosts of the URL, h1:6379,h2:6379,
//	                  are some of its servers, which are asked for all others
//	cluster_map       where servers of the cluster are reached, if not at the addresses that
//	                  it names: 10.0.0.1:6379=host:7001,10.0.0.2:6379=host:7002
//	tls…              those of [dsn.Params.TLS]; they hold for the sentinels as well
func Parse(u *url.URL, params *dsn.Params) (*Server, error) {
	s := &Server{
		master:       params.String("sentinel_master", ""),
		dialTimeout:  params.Duration("dial_timeout", DefaultDialTimeout, minTimeout),
		replyTimeout: params.Duration("reply_timeout", DefaultReplyTimeout, minTimeout),
		poolSize:     params.Int("pool", DefaultPool, 1),
		cluster:      params.Bool("cluster", false),
		sentinel: login{
			user:     params.String("sentinel_user", ""),
			password: params.String("sentinel_password", ""),
		},
	}
	var faults [6]error
	s.addrs, faults[0] = parseHosts(u.Host, s.master != "", s.cluster)
	s.db, faults[1] = parseDB(u.Path)
	s.login, faults[2] = parseLogin(u.User)
	faults[3] = s.checkSentinel()
	s.addrMap, faults[4] = parseAddrMap(params.String("cluster_map", ""))
	faults[5] = s.checkCluster()
	s.tls = params.SchemeTLS(u.Scheme, strings.HasPrefix(u.Scheme, "rediss"))
	return s, errors.Join(faults[:]...)
}

// parseLogin reads the user and the password of the URL.
func parseLogin(u *url.Userinfo) (login, error) {
	l := login{user: u.Username()}
	l.password, _ = u.Password()
	if l.user != "" && l.password == "" {
		return l, errors.New("the URL names a user without a password: " +
			"want user:password@, or :password@ for the default user")
	}
	return l, nil
}

// checkSentinel checks the parameters of the sentinels against each other.
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

// checkCluster checks the parameters of a cluster against the others.
func (s *Server) checkCluster() error {
	switch {
	case s.cluster && s.master != "":
		return errors.New("cluster and sentinel_master: a Redis Cluster has no sentinels")
	case s.cluster && s.db != 0:
		return fmt.Errorf("database %d: a Redis Cluster has only database 0", s.db)
	case !s.cluster && s.addrMap != nil:
		return errors.New("cluster_map needs cluster=true")
	}
	return nil
}

// parseHosts reads the host part of the URL, which may be a list only if it names
// sentinels or servers of a cluster, and adds the default port where a host has none.
func parseHosts(hosts string, sentinels, cluster bool) ([]string, error) {
	all := strings.Split(hosts, ",")
	if len(all) > 1 && !sentinels && !cluster {
		return nil, errors.New("several hosts need cluster=true if they are a Redis Cluster, or " +
			"sentinel_master, the name of the master that these sentinels know")
	}
	port := "6379"
	if sentinels {
		port = "26379"
	}
	for i, host := range all {
		if host == "" || host[0] == ':' {
			return nil, errors.New("the URL names no host: want host:port")
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			all[i] = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
	}
	return all, nil
}

// parseDB reads the number of the database from the URL's path; 0 without one.
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

// DB returns the number of the database.
func (s *Server) DB() int { return s.db }

// ReplyTimeout returns how long the server may take to reply.
func (s *Server) ReplyTimeout() time.Duration { return s.replyTimeout }

// IsCluster reports whether the servers are a Redis Cluster.
func (s *Server) IsCluster() bool { return s.cluster }

// Client returns a client of a single server, which tries each command once. It ends
// with the context of a call, and connects when it is first used. The caller closes it
// with [Close]. Most callers use [Masters.Client].
func (s *Server) Client() *redis.Client { return s.clientOf(target{}) }

// clientOf returns a client of one server, which tries each command once.
func (s *Server) clientOf(to target) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:     cmp.Or(to.addr, s.addrs[0]), // only a label: Dialer decides where to connect
		Dialer:   func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dialServer(ctx, to.addr) },
		Username: s.login.user, Password: s.login.password, DB: s.db,
		Protocol: 2, DisableIdentity: true,
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: s.dialTimeout, ReadTimeout: s.replyTimeout, WriteTimeout: s.replyTimeout,
		PoolSize: s.poolSize, PoolTimeout: s.replyTimeout, PipelinePoolSize: -1,
		WriteBufferSize: bufferSize,
	})
}

// Close closes a client. A second call does nothing.
func Close(c *redis.Client) error {
	if err := c.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close redis: %w", err)
	}
	return nil
}

// Dial opens a connection to the server, or to one of the cluster, and logs in. The
// caller closes it.
func (s *Server) Dial(ctx context.Context) (*Conn, error) { return s.dialTarget(ctx, target{}) }

// dialTarget is Dial for one server of a cluster.
func (s *Server) dialTarget(ctx context.Context, to target) (*Conn, error) {
	nc, err := s.dialServer(ctx, to.addr)
	if err != nil {
		return nil, err
	}
	c := NewConn(nc, s.replyTimeout)
	c.target, c.login = to, s.login
	if err := s.logIn(ctx, c); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// logIn logs in and selects the database.
func (s *Server) logIn(ctx context.Context, c *Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.dialTimeout)
	defer cancel()
	defer c.Bind(ctx)()
	replies := s.login.queue(c)
	if s.db != 0 {
		c.Queue("SELECT", strconv.Itoa(s.db))
		replies++
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if err := c.expectOK(replies); err != nil {
		return fmt.Errorf("log in to redis: %w", s.Explain("", err))
	}
	return nil
}

// queue queues the command that logs in, if one is needed, and returns how many
// replies to expect.
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

// dialServer finds the server and connects to it, including the TLS handshake. addr
// is the address that a cluster names, "" for the server of the URL.
func (s *Server) dialServer(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.dialTimeout)
	defer cancel()
	if s.master == "" {
		addr = cmp.Or(addr, s.addrs[0])
		return s.dialAddr(ctx, cmp.Or(s.addrMap[addr], addr))
	}
	var faults []error
	for _, sentinel := range s.addrs {
		addr, err := s.askSentinel(ctx, sentinel)
		if err == nil {
			return s.dialAddr(ctx, addr)
		}
		faults = append(faults, fmt.Errorf("sentinel %s: %w", sentinel, err))
	}
	return nil, errors.Join(faults...)
}

// askSentinel asks one sentinel for the master's address. Each sentinel gets a share
// of the dial timeout, so that one that never replies leaves time for the others.
func (s *Server) askSentinel(ctx context.Context, sentinel string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.dialTimeout/time.Duration(len(s.addrs)+1))
	defer cancel()
	nc, err := s.dialAddr(ctx, sentinel)
	if err != nil {
		return "", err
	}
	c := NewConn(nc, s.replyTimeout)
	defer c.Close()
	defer c.Bind(ctx)()
	replies := s.sentinel.queue(c)
	c.Queue("SENTINEL", "get-master-addr-by-name", s.master)
	if err := c.Flush(); err != nil {
		return "", err
	}
	if err := c.expectOK(replies); err != nil {
		return "", fmt.Errorf("log in to the sentinel: %w", s.sentinel.explain("", err))
	}
	addr, err := s.readMasterAddr(c)
	return addr, s.sentinel.explain("", err)
}

// readMasterAddr reads the reply to SENTINEL get-master-addr-by-name.
func (s *Server) readMasterAddr(c *Conn) (string, error) {
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

// dialAddr connects to an address, including the TLS handshake.
func (s *Server) dialAddr(ctx context.Context, addr string) (net.Conn, error) {
	if s.tls == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	return s.tls.DialContext(ctx, "tcp", addr)
}
