package fanfare

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/publisher"
)

// A Config holds a node's settings. A zero field means its default; see
// DefaultConfig. The comment of each field begins with the setting's name in
// files, flags and the environment.
type Config struct {
	Listen         string         // listen: host:port for clients and publishers
	AdminListen    string         // admin_listen: host:port for metrics and docs; empty: on Listen
	Transport      string         // transport: the bus, as a URL; while it is moved two, with a space between: the old one and the new one
	Systems        []string       // systems: names, or "*" for those that sessions ask for
	Node           string         // node: this node's name, unique among the nodes
	Topic          string         // topic: template of topic names, holding {system}
	Auth           AuthConfig     // auth.…
	Origins        []string       // origins: web origins that may connect; empty: the same host
	Proxies        []string       // proxies: networks whose proxy_header is believed, such as 10.0.0.0/8
	ProxyHeader    string         // proxy_header: the header in which proxies name their clients
	Envelope       EnvelopeConfig // envelope.…
	Window         WindowConfig   // window.…
	Dedupe         DedupeConfig   // dedupe.…
	Resume         ResumeConfig   // resume.…
	Limits         LimitsConfig   // limits.…
	Drain          time.Duration  // drain: over how long sessions are asked to go
	PublishTimeout time.Duration  // publish_timeout: how long a publish may wait for the bus
	Log            LogConfig      // log.…

	// Dev lets everybody in: the user is whoever the client says, and
	// publishing needs no key. It is no setting; `fanfare dev` sets it.
	Dev bool
}

// AuthConfig says whom the node believes.
type AuthConfig struct {
	JWT        JWTConfig // auth.jwt.…
	APIKeys    []Secret  // auth.api_keys: entries name:scopes:sha256-hex
	QueryToken bool      // auth.query_token: also take tokens from ?token=
}

// JWTConfig says which session tokens count. One of Secret and PublicKey is
// set.
type JWTConfig struct {
	Secret    Secret // auth.jwt.secret: for HMAC, at least 32 bytes
	PublicKey string // auth.jwt.public_key: PEM, one key or several, for RSA, ECDSA or Ed25519
	Issuer    string // auth.jwt.issuer: if set, tokens must name it
	Audience  string // auth.jwt.audience: what tokens must name; if empty, they must name none

	// Leeway (auth.jwt.leeway) is how far ahead a token's nbf may be, for clocks
	// that differ. A token's end has none.
	Leeway time.Duration
}

// EnvelopeConfig says how messages are found on the bus.
type EnvelopeConfig struct {
	// UserField (envelope.user_field) adopts an existing channel: every message
	// is any JSON object, this field names the user, and the whole object is
	// the data. Empty: Fanfare's envelope.
	UserField string
}

// WindowConfig bounds what a node keeps in memory for sessions that resume.
type WindowConfig struct {
	Messages int           // window.messages: entries per system
	Bytes    Size          // window.bytes: for all systems together
	Age      time.Duration // window.age
}

// DedupeConfig says how long a message's id is remembered.
type DedupeConfig struct {
	Age time.Duration // dedupe.age
}

// ResumeConfig bounds what is read of a log again for sessions that come back
// from before the window.
type ResumeConfig struct {
	MaxScan int  // resume.max_scan: entries at a time, per system
	Bytes   Size // resume.bytes: for all systems together
}

// LimitsConfig bounds what others can make the node do.
type LimitsConfig struct {
	MessageBytes    Size // limits.message_bytes: one message's data
	OutboxBytes     Size // limits.outbox_bytes: waiting for one session
	Systems         int  // limits.systems: served at once when systems is "*"
	SystemsPerUser  int  // limits.systems_per_user: of these, open because of one user alone
	Sessions        int  // limits.sessions: on this node
	SessionsPerUser int  // limits.sessions_per_user: on this node; one more closes the oldest
	InboundRate     int  // limits.inbound_rate: operations a second from one session
	FrameRate       int  // limits.frame_rate: WebSocket frames a second from one session; never below twice InboundRate
	ControlRate     int  // limits.control_rate: pings and pongs a second from one session
	// limits.inbound_bytes: what users have sent to one system from this node and is
	// not consumed yet, where the bus can say so; limits.inbound_user_bytes: of
	// these, what one user has, in all systems.
	InboundBytes, InboundUserBytes Size
	Stall                          time.Duration // limits.stall: how long a session may take nothing
	AnswerTime                     time.Duration // limits.answer_time: a client's to read an answer that begins no session
	BodyTime                       time.Duration // limits.body_time: a publisher's to send the body of a request
	BodyStall                      time.Duration // limits.body_stall: most of it in which nothing comes
	BodyBytes                      Size          // limits.body_bytes: bodies of requests in flight, of all publishers
	BodyBytesPerKey                Size          // limits.body_bytes_per_key: the same, of each API key
	IdleConnections                int           // limits.idle_connections: that wait for their next request; not of an embedded node
	SocketBytes                    Size          // limits.socket_bytes: of a connection, in the system's buffers, each way; not of an embedded node
}

// LogConfig says what is logged, and how.
type LogConfig struct {
	Level  string // log.level: debug, info, warn or error
	Format string // log.format: text or json
}

// DefaultConfig returns the settings of a node that nobody configured. It has
// no auth, so it is not valid as it is.
func DefaultConfig() Config {
	return Config{
		Listen:      "127.0.0.1:8080",
		Transport:   "memory://",
		Systems:     []string{"*"},
		Topic:       publisher.DefaultTopic,
		Auth:        AuthConfig{JWT: JWTConfig{Leeway: auth.DefaultLeeway}},
		ProxyHeader: "X-Forwarded-For",
		Window:      WindowConfig{Messages: 100_000, Bytes: 64 << 20, Age: 10 * time.Minute},
		Dedupe:      DedupeConfig{Age: 2 * time.Minute},
		Resume:      ResumeConfig{MaxScan: 100_000, Bytes: 64 << 20},
		Limits: LimitsConfig{
			MessageBytes:     64 << 10,
			OutboxBytes:      256 << 10,
			Systems:          1_000,
			SystemsPerUser:   64,
			Sessions:         100_000,
			SessionsPerUser:  32,
			InboundRate:      50,
			InboundBytes:     64 << 20,
			InboundUserBytes: 4 << 20,
			FrameRate:        500,
			ControlRate:      10,
			Stall:            20 * time.Second,
			AnswerTime:       10 * time.Second,
			BodyTime:         30 * time.Second,
			BodyStall:        5 * time.Second,
			BodyBytes:        128 << 20,
			BodyBytesPerKey:  64 << 20,
			IdleConnections:  10_000,
			SocketBytes:      256 << 10,
		},
		Drain:          20 * time.Second,
		PublishTimeout: 800 * time.Millisecond,
		Log:            LogConfig{Level: "info", Format: "text"},
	}
}

// withDefaults returns the config with every zero field filled in.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if len(c.Systems) == 0 {
		c.Systems = d.Systems
	}
	if c.Node == "" {
		c.Node = nodeName()
	}
	fill(&c.Listen, d.Listen)
	fill(&c.Transport, d.Transport)
	fill(&c.Topic, d.Topic)
	fill(&c.Auth.JWT.Leeway, d.Auth.JWT.Leeway)
	fill(&c.ProxyHeader, d.ProxyHeader)
	fill(&c.Window.Messages, d.Window.Messages)
	fill(&c.Window.Bytes, d.Window.Bytes)
	fill(&c.Window.Age, d.Window.Age)
	fill(&c.Dedupe.Age, d.Dedupe.Age)
	fill(&c.Resume.MaxScan, d.Resume.MaxScan)
	fill(&c.Resume.Bytes, d.Resume.Bytes)
	fill(&c.Limits.MessageBytes, d.Limits.MessageBytes)
	fill(&c.Limits.OutboxBytes, d.Limits.OutboxBytes)
	fill(&c.Limits.Systems, d.Limits.Systems)
	fill(&c.Limits.SystemsPerUser, d.Limits.SystemsPerUser)
	fill(&c.Limits.Sessions, d.Limits.Sessions)
	fill(&c.Limits.SessionsPerUser, d.Limits.SessionsPerUser)
	fill(&c.Limits.InboundRate, d.Limits.InboundRate)
	fill(&c.Limits.InboundBytes, d.Limits.InboundBytes)
	fill(&c.Limits.InboundUserBytes, d.Limits.InboundUserBytes)
	fill(&c.Limits.FrameRate, d.Limits.FrameRate)
	fill(&c.Limits.ControlRate, d.Limits.ControlRate)
	fill(&c.Limits.Stall, d.Limits.Stall)
	fill(&c.Limits.AnswerTime, d.Limits.AnswerTime)
	fill(&c.Limits.BodyTime, d.Limits.BodyTime)
	fill(&c.Limits.BodyStall, d.Limits.BodyStall)
	fill(&c.Limits.BodyBytes, d.Limits.BodyBytes)
	fill(&c.Limits.BodyBytesPerKey, d.Limits.BodyBytesPerKey)
	fill(&c.Limits.IdleConnections, d.Limits.IdleConnections)
	fill(&c.Limits.SocketBytes, d.Limits.SocketBytes)
	fill(&c.Drain, d.Drain)
	fill(&c.PublishTimeout, d.PublishTimeout)
	fill(&c.Log.Level, d.Log.Level)
	fill(&c.Log.Format, d.Log.Format)
	return c
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// nodeName is the host's name and something random, since several nodes may
// share a host.
func nodeName() string {
	var b [3]byte
	rand.Read(b[:]) // never fails
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	host, _, _ = strings.Cut(host, ".")
	return host + "-" + hex.EncodeToString(b[:])
}

// Validate joins everything that is wrong with the settings, each fault with
// its key and what to do. A zero field counts as its default.
func (c Config) Validate() error {
	c = c.withDefaults()
	return errors.Join(slices.Concat(
		c.checkNames(), c.checkAddresses(), c.checkAuth(), c.checkBounds(), c.checkLog())...)
}

func (c Config) checkNames() (faults []error) {
	for _, s := range c.Systems {
		if s == "*" {
			if len(c.Systems) > 1 {
				faults = append(faults, fault("systems", `"*" stands alone: name the systems, or only "*"`))
			}
			continue
		}
		if _, err := domain.ParseSystem(s); err != nil {
			faults = append(faults, fault("systems", "%v", err))
		}
	}
	if err := domain.CheckUser(c.Node); err != nil {
		faults = append(faults, fault("node", "%v", err))
	}
	if _, err := domain.ParseTopics(c.Topic); err != nil {
		faults = append(faults, fault("topic", "template %s must hold {system} exactly once, as in fanfare.{system}", shown(c.Topic)))
	}
	return faults
}

func (c Config) checkAddresses() (faults []error) {
	for _, a := range []struct{ key, addr string }{{"listen", c.Listen}, {"admin_listen", c.AdminListen}} {
		if a.addr == "" {
			continue
		}
		host, port, err := net.SplitHostPort(a.addr)
		if err == nil {
			_, err = net.LookupPort("tcp", port)
		}
		switch {
		case err != nil:
			faults = append(faults, fault(a.key, "%s is no address: want host:port with a port of at most 65535, such as 127.0.0.1:8080 or :8080", shown(a.addr)))
		case c.Dev && !loopback(host):
			faults = append(faults, fault(a.key, "development mode lets everybody in, so it listens on this machine only: use 127.0.0.1, or serve with auth"))
		}
	}
	if c.AdminListen != "" && c.AdminListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		faults = append(faults, fault("admin_listen", "is the same as listen: choose another port, or leave it empty to have everything on listen"))
	}
	for _, o := range c.Origins {
		if err := session.CheckOrigin(o); err != nil {
			faults = append(faults, badItem("origins", c.Origins, o, fmt.Sprintf("is no origin: %v", err)))
		}
	}
	for _, p := range c.Proxies {
		network, err := netip.ParsePrefix(p)
		if err != nil {
			faults = append(faults, badItem("proxies", c.Proxies, p, "is no network: want address/bits, such as 10.0.0.0/8 or 192.168.1.7/32"))
		} else if network.Addr().Is4In6() {
			faults = append(faults, fault("proxies", "%q would match nothing: write it as an IPv4 network, such as 10.0.0.0/8", p))
		}
	}
	if err := session.CheckProxyHeader(c.ProxyHeader); err != nil {
		faults = append(faults, fault("proxy_header", "%v", err))
	}
	return faults
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c Config) checkAuth() (faults []error) {
	j := c.Auth.JWT
	if j.Leeway < 0 || j.Leeway > auth.MaxLeeway {
		faults = append(faults, fault("auth.jwt.leeway", "want more than 0 and at most %v, got %v", auth.MaxLeeway, j.Leeway))
		j.Leeway = 0
	}
	switch {
	case j.Secret != "" && j.PublicKey != "":
		faults = append(faults, fault("auth.jwt", "has both a secret and a public key: keep one"))
	case j.Secret != "" || j.PublicKey != "":
		if _, err := auth.NewJWT(j.auth()); err != nil {
			faults = append(faults, fault("auth.jwt", "%v", err))
		}
	case len(c.Auth.APIKeys) == 0 && !c.Dev:
		faults = append(faults, fault("auth", "nothing is configured, and a node does not start unprotected: "+
			"set auth.jwt.secret (or auth.jwt.secret_file) to at least 32 random bytes, or try things out with `fanfare dev`"))
	}
	if _, err := auth.NewKeys(reveal(c.Auth.APIKeys)...); err != nil {
		faults = append(faults, fault("auth.api_keys", "%v", err))
	}
	return faults
}

// auth returns the settings as the auth adapter takes them.
func (j JWTConfig) auth() auth.JWTConfig {
	return auth.JWTConfig{Secret: string(j.Secret), PublicKey: j.PublicKey, Issuer: j.Issuer, Audience: j.Audience, Leeway: j.Leeway}
}

func (c Config) checkBounds() (faults []error) {
	l := c.Limits
	for _, b := range c.bounds() {
		if err := b.fault(); err != nil {
			faults = append(faults, err)
		}
	}
	if l.OutboxBytes >= 0 && l.OutboxBytes/2 < l.MessageBytes {
		faults = append(faults, fault("limits.outbox_bytes", "%v is too small to hold a message of %v and its envelope: want at least %v",
			l.OutboxBytes, l.MessageBytes, 2*l.MessageBytes))
	}
	if c.Window.Bytes >= 0 && c.Window.Bytes/2 < l.MessageBytes {
		faults = append(faults, fault("window.bytes", "%v is too small for messages of up to %v: want at least %v",
			c.Window.Bytes, l.MessageBytes, 2*l.MessageBytes))
	}
	return faults
}

func (c Config) checkLog() (faults []error) {
	if levels := []string{"debug", "info", "warn", "error"}; !slices.Contains(levels, c.Log.Level) {
		faults = append(faults, fault("log.level", "%s is none: use %s", shown(c.Log.Level), strings.Join(levels, ", ")))
	}
	if formats := []string{"text", "json"}; !slices.Contains(formats, c.Log.Format) {
		faults = append(faults, fault("log.format", "%s is none: use %s", shown(c.Log.Format), strings.Join(formats, ", ")))
	}
	return faults
}

// badItem is a fault of one item of a list, which is not shown if the list may
// be a URL with a password that has a comma in it.
func badItem(key string, all []string, item, problem string) error {
	if slices.ContainsFunc(all, func(s string) bool { return !showable(s) }) {
		return fault(key, "one of them cannot be read, and looks like a URL with something secret in it")
	}
	return fault(key, "%q %s", item, problem)
}

// shown quotes a value that is not a secret, unless it looks like a URL with a
// user or parameters: then one was put in the wrong place.
func shown(value string) string {
	if !showable(value) {
		return "what is there"
	}
	return strconv.Quote(value)
}

func showable(value string) bool { return !strings.ContainsAny(value, "@?=#") }

func fault(key, format string, args ...any) error {
	return fmt.Errorf(key+": "+format, args...)
}
