package fanfare

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/internal/defaults"
	"github.com/fanfarebus/fanfare/ports/api"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
	"github.com/fanfarebus/fanfare/publisher"
)

// A Config holds a node's settings. A zero field means its default, which
// [DefaultConfig] shows; [Config.Validate] says what a field may be. The comment
// of each field begins with the setting's name in files, flags and the
// environment.
type Config struct {
	Listen      string      // listen: host:port for clients and publishers
	AdminListen string      // admin_listen: host:port for metrics, docs and console; empty: on Listen
	Admin       AdminConfig // admin.…: what else is there; of the command fanfare

	// Transport (transport) is the bus, as a URL. While the bus is moved these are
	// two URLs with a space between them: the old bus and the new one.
	Transport string

	Systems []string // systems: names, or "*" alone for those that sessions ask for

	// Node (node) is this node's name, unique among the nodes. By default it is
	// made from the host's name.
	Node string

	Topic string     // topic: template of topic names, holding {system} once
	Auth  AuthConfig // auth.…

	// Origins (origins) are the web origins that may connect, such as
	// https://*.example.com, or "*". Empty: only that of the host which the
	// request is for.
	Origins []string

	// Proxies (proxies) are the networks of proxies, such as 10.0.0.0/8, whose
	// ProxyHeader is believed.
	Proxies []string

	ProxyHeader string         // proxy_header: the header in which proxies name their clients
	Envelope    EnvelopeConfig // envelope.…
	Window      WindowConfig   // window.…
	Dedupe      DedupeConfig   // dedupe.…
	Resume      ResumeConfig   // resume.…
	Limits      LimitsConfig   // limits.…
	Control     ControlConfig  // control.…
	Presence    PresenceConfig // presence.…

	// Events (events) are the systems whose business services are told on a topic of
	// their own who comes and goes. Each has to be among Presence.Systems.
	Events []string

	Drain time.Duration // drain: over how long sessions are asked to go, at the end

	// DrainGrace (drain_grace) is how long a session that was asked to go may stay. In this
	// time its client connects to another node. At most half of Drain counts.
	DrainGrace time.Duration

	// PublishTimeout (publish_timeout) is how long a publish may wait for the bus.
	PublishTimeout time.Duration

	// StandardHTTP (standard_http) leaves publishers to net/http like all others.
	// Otherwise the command fanfare serves simple publish requests with a server of
	// its own, which costs less. An embedded node ignores it.
	StandardHTTP bool

	// Webhooks (webhooks) are the endpoints to which this node posts what users send and
	// events about them. Nodes with the same webhooks share the work, where the bus has
	// consumer groups.
	Webhooks []Webhook

	Log LogConfig // log.…: of the command fanfare; an embedded node logs to WithLogger's

	// Dev lets everybody in: the user is whoever the client says, and publishing
	// needs no key. It is no setting; `fanfare dev` sets it. Such a node may
	// listen on addresses of this machine only.
	Dev bool
}

// AdminConfig says who sees the inside of a node, beside those who reach AdminListen.
type AdminConfig struct {
	// Public is admin.public: everybody who reaches the node's clients' side may read
	// /metrics, /docs, /openapi.json and /console there. Without it they are where
	// [Node.AdminHandler] is mounted alone.
	Public bool
	// Pprof is admin.pprof: the command fanfare serves profiles on AdminListen, as
	// net/http/pprof has them. A program that embeds a node mounts these by itself, if
	// it wants them.
	Pprof bool
}

// AuthConfig says whom the node believes. Unless Config.Dev is set, a node needs
// JWT or APIKeys, and with one of them alone it serves clients alone or
// publishers alone.
type AuthConfig struct {
	JWT        JWTConfig      // auth.jwt.…: whose session tokens count
	APIKeys    []Secret       // auth.api_keys: publishers' keys, as name:scopes:sha256-hex
	QueryToken bool           // auth.query_token: also take session tokens from ?token=
	Callback   CallbackConfig // auth.callback.…

	// Reload (auth.reload) is how often the command fanfare looks whether the files that
	// auth.… comes from have changed. A program that embeds a node calls [Node.SetAuth].
	Reload time.Duration
}

// JWTConfig says which session tokens count. One of Secret, PublicKey, JWKSURL and
// Discovery is set.
type JWTConfig struct {
	Secret Secret // auth.jwt.secret: for HMAC, at least 32 bytes
	// PreviousSecret (auth.jwt.previous_secret) is accepted beside Secret, and never used
	// to sign: for as long as tokens of it are in use after a change.
	PreviousSecret Secret
	// PublicKey (auth.jwt.public_key) is PEM, with one or several keys or certificates,
	// for RSA, ECDSA or Ed25519. Of a certificate the key alone counts.
	PublicKey string

	// JWKSURL (auth.jwt.jwks_url) is where the issuer publishes its keys, as a JSON Web
	// Key Set. Discovery (auth.jwt.discovery) instead asks Issuer where that is, as
	// OpenID Connect has it. The keys are fetched while the node runs; until they have
	// come once, the node is not ready.
	JWKSURL   string
	Discovery bool
	// JWKSRefresh (auth.jwt.jwks_refresh) is how often the keys are fetched again, at
	// most: a token with an unknown key causes it, too. A key that the issuer has taken
	// away counts for as long at most, while the issuer answers.
	JWKSRefresh time.Duration
	JWKSTimeout time.Duration // auth.jwt.jwks_timeout: how long fetching the keys may take

	Issuer string // auth.jwt.issuer: if set, tokens must name it
	// Audience (auth.jwt.audience) is what tokens must name. If it is empty, they must name
	// none; "*" accepts tokens for any audience, or none.
	Audience string
	Claims   ClaimsConfig // auth.jwt.claims.…
	Default  DefaultGrant // auth.jwt.default.…

	// Leeway (auth.jwt.leeway) is how far ahead of the node's clock a token's nbf
	// may be. A token's end has no leeway.
	Leeway time.Duration

	// Cache (auth.jwt.cache) is how many bytes are taken to remember tokens that were
	// verified with a public key, so that clients that come back are cheap.
	Cache Size
}

// CallbackConfig says which HTTP endpoint of the application is asked who a client is. If
// tokens count, too, it is asked only about requests without a token. A program that embeds a
// node can use [WithAuthenticator] instead, which has precedence.
type CallbackConfig struct {
	URL     string        // auth.callback.url: http or https; empty: nobody is asked
	Timeout time.Duration // auth.callback.timeout: for one question, waiting included
	// Concurrency (auth.callback.concurrency) is how many questions are asked at a time.
	// For each of them sixteen more requests may wait; others are answered 503.
	Concurrency int
	Headers     []string // auth.callback.headers: those that it is sent, beside cookies
	Secret      Secret   // auth.callback.secret: it is sent "Authorization: Bearer …" with it
}

// ClaimsConfig says where in a token the grant is, for tokens that are made for others,
// too. Each is the name of a claim, or a path of names with dots between them, such as
// resource_access.push.systems. A claim that is not the usual one may be an array of
// strings, or a string of words with spaces between them.
type ClaimsConfig struct {
	User     string // auth.jwt.claims.user: who the user is, a string or a whole number
	Systems  string // auth.jwt.claims.systems
	Rooms    string // auth.jwt.claims.rooms
	Send     string // auth.jwt.claims.send
	Presence string // auth.jwt.claims.presence
	// Prefix (auth.jwt.claims.prefix) is what words in claims that are not the usual ones
	// have to begin with to count; it is cut off. So scopes such as
	// "openid push:orders" can grant systems.
	Prefix string
}

// DefaultGrant is what a token is granted for each claim that it does not have. A claim
// that is there, but empty, grants nothing.
type DefaultGrant struct {
	Systems  []string // auth.jwt.default.systems
	Rooms    []string // auth.jwt.default.rooms
	Send     []string // auth.jwt.default.send
	Presence []string // auth.jwt.default.presence
}

// EnvelopeConfig says how messages are written on the bus.
type EnvelopeConfig struct {
	// UserField (envelope.user_field) adopts topics that exist already: every
	// message is any JSON object, this field names the user, and the whole object
	// is the data. Empty: messages are in Fanfare's envelope.
	UserField string
}

// WindowConfig bounds what a node keeps in memory for sessions that resume.
type WindowConfig struct {
	Messages int           // window.messages: entries per system
	Bytes    Size          // window.bytes: for all systems together
	Age      time.Duration // window.age: how long an entry is kept
}

// DedupeConfig says how long repetitions are recognised.
type DedupeConfig struct {
	Age time.Duration // dedupe.age: how long a message's id is remembered
}

// ResumeConfig bounds what is read from the log again, for sessions that come
// back from before the window.
type ResumeConfig struct {
	MaxScan int  // resume.max_scan: entries that are read in one turn
	Bytes   Size // resume.bytes: waits for slow sessions, for all systems together
}

// LimitsConfig bounds what clients and publishers can make the node do. The
// bounds hold for this node, not for all nodes together.
type LimitsConfig struct {
	MessageBytes    Size // limits.message_bytes: one message's data
	OutboxBytes     Size // limits.outbox_bytes: what waits for one session
	Systems         int  // limits.systems: served at once when Config.Systems is "*"
	SystemsPerUser  int  // limits.systems_per_user: of these, open because of one user alone
	Sessions        int  // limits.sessions: open at once
	SessionsPerUser int  // limits.sessions_per_user: one more closes the user's oldest
	EndedSessions   int  // limits.ended_sessions: that have ended and are remembered for traces
	InboundRate     int  // limits.inbound_rate: operations a second from one session

	// FrameRate (limits.frame_rate) is how many WebSocket frames may come in a
	// second from one session. At least twice InboundRate is always allowed.
	FrameRate   int
	ControlRate int // limits.control_rate: pings and pongs a second from one session

	// InboundBytes (limits.inbound_bytes) is what users may have sent to one
	// system from this node that is not consumed yet, where the bus can say so.
	// InboundUserBytes (limits.inbound_user_bytes) is how much of this may be from
	// one user, in all systems.
	InboundBytes, InboundUserBytes Size

	Stall time.Duration // limits.stall: how long a session may take nothing

	// AnswerTime (limits.answer_time) is how long a client may take to read an
	// answer that begins no session.
	AnswerTime time.Duration

	BodyTime  time.Duration // limits.body_time: a publisher's to send the body of a request
	BodyStall time.Duration // limits.body_stall: how long of BodyTime nothing may come

	// BodyBytes (limits.body_bytes) is the memory for bodies of requests in
	// flight, of all publishers; BodyBytesPerKey (limits.body_bytes_per_key) the
	// same for each API key.
	BodyBytes, BodyBytesPerKey Size

	// IdleConnections (limits.idle_connections) is how many connections may wait
	// for their next request. SocketBytes (limits.socket_bytes) is what one
	// connection may have in the operating system's buffers, each way. Both are
	// for the server of the command fanfare; an embedded node ignores them.
	IdleConnections int
	SocketBytes     Size
}

// ControlConfig says how nodes tell each other who has to go, who is a member, and who is
// there: over a topic of the bus that all of them read and write.
type ControlConfig struct {
	// Disabled (control.disabled) leaves this node out. It then knows of no blocks and
	// members, and commands such as [Node.Disconnect] are not supported.
	Disabled bool

	Heartbeat time.Duration // control.heartbeat: how often a node says how it is
	// DeadAfter (control.dead_after) is how long a node may be silent, while the bus
	// answers, before it counts as dead. It is at least twice Heartbeat.
	DeadAfter time.Duration
	Refresh   time.Duration // control.refresh: how often each fact is said again
	Facts     int           // control.facts: blocks, revocations, members and the like
	Marks     int           // control.marks: sessions whose receipts are known, of all nodes
}

// PresenceConfig says for whom it is known who is there.
type PresenceConfig struct {
	// Systems (presence.systems) are the systems for which presence is kept, or "*"
	// alone for all. In development mode the default is "*", else none.
	Systems []string
	Grace   time.Duration // presence.grace: how long a user without a session is still present
	// Members (presence.members) is up to how many users of a place its watchers are told
	// the names. Beyond it they are told the number alone.
	Members int
}

// LogConfig says what the command fanfare logs, and how.
type LogConfig struct {
	Level  string // log.level: debug, info, warn or error
	Format string // log.format: text or json
}

// DefaultConfig returns the settings of a node that nobody configured. It has no
// auth, so it is not valid as it is; and no Node, whose name is made anew for each
// node.
func DefaultConfig() Config {
	return Config{
		Listen:    "127.0.0.1:8080",
		Transport: "memory://",
		Systems:   []string{"*"},
		Topic:     publisher.DefaultTopic,
		Auth: AuthConfig{JWT: JWTConfig{
			Leeway: auth.DefaultLeeway, Cache: auth.DefaultCache,
			JWKSRefresh: auth.DefaultJWKSRefresh, JWKSTimeout: auth.DefaultJWKSTimeout,
			Claims: ClaimsConfig{
				User: "sub", Systems: "systems", Rooms: "rooms", Send: "send", Presence: "presence",
			},
		}, Callback: CallbackConfig{
			Timeout: auth.DefaultCallbackTimeout, Concurrency: auth.DefaultCallbackConcurrency,
			Headers: auth.DefaultCallbackHeaders(),
		}, Reload: 10 * time.Second},
		ProxyHeader: session.DefaultProxyHeader,
		Window: WindowConfig{
			Messages: stream.DefaultMessages,
			Bytes:    stream.DefaultBytes,
			Age:      stream.DefaultAge,
		},
		Dedupe: DedupeConfig{Age: stream.DefaultDedupeAge},
		Resume: ResumeConfig{MaxScan: stream.DefaultMaxScan, Bytes: 64 << 20},
		Limits: LimitsConfig{
			MessageBytes:     api.DefaultMessageBytes,
			OutboxBytes:      256 << 10,
			Systems:          stream.DefaultMaxSystems,
			SystemsPerUser:   stream.DefaultUserSystems,
			Sessions:         session.DefaultSessions,
			SessionsPerUser:  session.DefaultSessionsPerUser,
			EndedSessions:    session.DefaultEnded,
			InboundRate:      ws.DefaultSessionMessages,
			InboundBytes:     64 << 20,
			InboundUserBytes: 4 << 20,
			FrameRate:        500,
			ControlRate:      ws.DefaultControlRate,
			Stall:            ws.DefaultStall,
			AnswerTime:       api.DefaultAnswerTime,
			BodyTime:         api.DefaultBodyTime,
			BodyStall:        api.DefaultBodyStall,
			BodyBytes:        api.DefaultBodies,
			BodyBytesPerKey:  api.DefaultBodiesPerKey,
			IdleConnections:  10_000,
			SocketBytes:      256 << 10,
		},
		Control: ControlConfig{
			Heartbeat: control.DefaultHeartbeat,
			DeadAfter: control.DefaultDeadAfter,
			Refresh:   control.DefaultRefresh,
			Facts:     control.DefaultFacts,
			Marks:     control.DefaultMarks,
		},
		Presence:       PresenceConfig{Grace: control.DefaultGrace, Members: 1000},
		Drain:          session.DefaultDrain,
		DrainGrace:     session.DefaultGrace,
		PublishTimeout: transport.DefaultPublishTimeout,
		Log:            LogConfig{Level: "info", Format: "text"},
	}
}

// withDefaults returns the config with every zero field filled in. Negative
// numbers stay, for Validate to find.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if len(c.Systems) == 0 {
		c.Systems = d.Systems
	}
	if c.Node == "" {
		c.Node = nodeName()
	}
	if c.Dev && len(c.Presence.Systems) == 0 && !c.Control.Disabled {
		c.Presence.Systems = []string{"*"}
	}
	defaults.SetZero(&c.Listen, d.Listen)
	defaults.SetZero(&c.Transport, d.Transport)
	defaults.SetZero(&c.Topic, d.Topic)
	c.Auth = c.Auth.withDefaults(d.Auth)
	defaults.SetZero(&c.ProxyHeader, d.ProxyHeader)
	defaults.SetZero(&c.Window.Messages, d.Window.Messages)
	defaults.SetZero(&c.Window.Bytes, d.Window.Bytes)
	defaults.SetZero(&c.Window.Age, d.Window.Age)
	defaults.SetZero(&c.Dedupe.Age, d.Dedupe.Age)
	defaults.SetZero(&c.Resume.MaxScan, d.Resume.MaxScan)
	defaults.SetZero(&c.Resume.Bytes, d.Resume.Bytes)
	defaults.SetZero(&c.Limits.MessageBytes, d.Limits.MessageBytes)
	defaults.SetZero(&c.Limits.OutboxBytes, d.Limits.OutboxBytes)
	defaults.SetZero(&c.Limits.Systems, d.Limits.Systems)
	defaults.SetZero(&c.Limits.SystemsPerUser, d.Limits.SystemsPerUser)
	defaults.SetZero(&c.Limits.Sessions, d.Limits.Sessions)
	defaults.SetZero(&c.Limits.SessionsPerUser, d.Limits.SessionsPerUser)
	defaults.SetZero(&c.Limits.EndedSessions, d.Limits.EndedSessions)
	defaults.SetZero(&c.Limits.InboundRate, d.Limits.InboundRate)
	defaults.SetZero(&c.Limits.InboundBytes, d.Limits.InboundBytes)
	defaults.SetZero(&c.Limits.InboundUserBytes, d.Limits.InboundUserBytes)
	defaults.SetZero(&c.Limits.FrameRate, d.Limits.FrameRate)
	defaults.SetZero(&c.Limits.ControlRate, d.Limits.ControlRate)
	defaults.SetZero(&c.Limits.Stall, d.Limits.Stall)
	defaults.SetZero(&c.Limits.AnswerTime, d.Limits.AnswerTime)
	defaults.SetZero(&c.Limits.BodyTime, d.Limits.BodyTime)
	defaults.SetZero(&c.Limits.BodyStall, d.Limits.BodyStall)
	defaults.SetZero(&c.Limits.BodyBytes, d.Limits.BodyBytes)
	defaults.SetZero(&c.Limits.BodyBytesPerKey, d.Limits.BodyBytesPerKey)
	defaults.SetZero(&c.Limits.IdleConnections, d.Limits.IdleConnections)
	defaults.SetZero(&c.Limits.SocketBytes, d.Limits.SocketBytes)
	defaults.SetZero(&c.Control.Heartbeat, d.Control.Heartbeat)
	defaults.SetZero(&c.Control.DeadAfter, d.Control.DeadAfter)
	defaults.SetZero(&c.Control.Refresh, d.Control.Refresh)
	defaults.SetZero(&c.Control.Facts, d.Control.Facts)
	defaults.SetZero(&c.Control.Marks, d.Control.Marks)
	defaults.SetZero(&c.Presence.Grace, d.Presence.Grace)
	defaults.SetZero(&c.Presence.Members, d.Presence.Members)
	defaults.SetZero(&c.Drain, d.Drain)
	defaults.SetZero(&c.DrainGrace, d.DrainGrace)
	defaults.SetZero(&c.PublishTimeout, d.PublishTimeout)
	defaults.SetZero(&c.Log.Level, d.Log.Level)
	defaults.SetZero(&c.Log.Format, d.Log.Format)
	return c
}

func (a AuthConfig) withDefaults(d AuthConfig) AuthConfig {
	a.JWT = a.JWT.withDefaults(d.JWT)
	defaults.SetZero(&a.Callback.Timeout, d.Callback.Timeout)
	defaults.SetZero(&a.Callback.Concurrency, d.Callback.Concurrency)
	if len(a.Callback.Headers) == 0 {
		a.Callback.Headers = d.Callback.Headers
	}
	defaults.SetZero(&a.Reload, d.Reload)
	return a
}

func (j JWTConfig) withDefaults(d JWTConfig) JWTConfig {
	defaults.SetZero(&j.Leeway, d.Leeway)
	defaults.SetZero(&j.Cache, d.Cache)
	defaults.SetZero(&j.JWKSRefresh, d.JWKSRefresh)
	defaults.SetZero(&j.JWKSTimeout, d.JWKSTimeout)
	defaults.SetZero(&j.Claims.User, d.Claims.User)
	defaults.SetZero(&j.Claims.Systems, d.Claims.Systems)
	defaults.SetZero(&j.Claims.Rooms, d.Claims.Rooms)
	defaults.SetZero(&j.Claims.Send, d.Claims.Send)
	defaults.SetZero(&j.Claims.Presence, d.Claims.Presence)
	return j
}

// nodeName returns the host's name with something random behind it, since several
// nodes may share a host.
func nodeName() string {
	var b [3]byte
	rand.Read(b[:]) // never returns an error
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	host, _, _ = strings.Cut(host, ".")
	return host + "-" + hex.EncodeToString(b[:])
}
