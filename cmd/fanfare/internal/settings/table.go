package settings

import "github.com/fanfarebus/fanfare"

// A Setting is one thing that can be configured: with --key as a flag, with
// FANFARE_KEY in the environment, and with key: in the file.
type Setting struct {
	Key    string
	field  any  // pointer to the part of a Config that it sets
	Secret bool // may also come from a file, which the setting KEY_file names
	Help   string
}

// All returns every setting, in the order in which people want to see them.
func All() []Setting { return of(new(fanfare.Config)) }

// For the table: whether a setting is Secret.
const (
	public = false
	secret = true
)

// of returns every setting of c.
func of(c *fanfare.Config) []Setting {
	l := &c.Limits
	return []Setting{
		{"listen", &c.Listen, public, "host:port for clients and publishers"},
		{"admin_listen", &c.AdminListen, public,
			"host:port for metrics, docs and console; empty: on listen if that is of this machine alone"},
		{"admin.public", &c.Admin.Public, public,
			"serve metrics, docs and console on listen, too, for everybody who reaches it"},
		{"admin.pprof", &c.Admin.Pprof, public,
			"serve profiles (/debug/pprof/) on admin_listen: whoever reads them sees what is in memory"},
		{"transport", (*urls)(&c.Transport), secret,
			"the bus, as a URL: memory://, redis://host:6379/0, redis-streams://host:6379/0, " +
				"nats://host:4222, jetstream://host:4222, kafka://host:9092; while it is moved, " +
				"the old and the new"},
		{"systems", &c.Systems, public, "the systems to serve, or * for those that sessions ask for"},
		{"node", &c.Node, public,
			"this node's name, unique among the nodes; empty: made from the host's, anew at each start"},
		{"topic", &c.Topic, public,
			"how the topic of a system is called on the bus, with {system} in it; the same for all nodes " +
				"and publishers"},
		{"auth.jwt.secret", &c.Auth.JWT.Secret, secret,
			"secret of session tokens (HMAC), at least 32 bytes"},
		{"auth.jwt.previous_secret", &c.Auth.JWT.PreviousSecret, secret,
			"accepted beside auth.jwt.secret while that is replaced; never used to sign"},
		{"auth.jwt.public_key", &c.Auth.JWT.PublicKey, secret,
			"public keys of session tokens (RSA, ECDSA, Ed25519), PEM, one or several"},
		{"auth.jwt.jwks_url", &c.Auth.JWT.JWKSURL, public,
			"where the issuer of session tokens publishes its keys (JWKS)"},
		{"auth.jwt.discovery", &c.Auth.JWT.Discovery, public,
			"ask auth.jwt.issuer where its keys are (OpenID Connect)"},
		{"auth.jwt.jwks_refresh", &c.Auth.JWT.JWKSRefresh, public,
			"how often the issuer's keys are fetched again"},
		{"auth.jwt.jwks_timeout", &c.Auth.JWT.JWKSTimeout, public,
			"how long fetching the issuer's keys may take"},
		{"auth.jwt.issuer", &c.Auth.JWT.Issuer, public,
			"what a token's iss must be; empty: anything"},
		{"auth.jwt.audience", &c.Auth.JWT.Audience, public,
			"what a token's aud must hold; empty: tokens must have none; *: anything or none"},
		{"auth.jwt.claims.user", &c.Auth.JWT.Claims.User, public,
			"the claim that names the user, or a path to it with dots"},
		{"auth.jwt.claims.systems", &c.Auth.JWT.Claims.Systems, public,
			"the claim with the systems, or a path to it"},
		{"auth.jwt.claims.rooms", &c.Auth.JWT.Claims.Rooms, public,
			"the claim with the rooms, or a path to it"},
		{"auth.jwt.claims.send", &c.Auth.JWT.Claims.Send, public,
			"the claim with what may be sent to, or a path to it"},
		{"auth.jwt.claims.presence", &c.Auth.JWT.Claims.Presence, public,
			"the claim with where to see who is there, or a path to it"},
		{"auth.jwt.claims.prefix", &c.Auth.JWT.Claims.Prefix, public,
			"what words in claims of other names have to begin with to count, such as push:"},
		{"auth.jwt.default.systems", &c.Auth.JWT.Default.Systems, public,
			"the systems of tokens without the claim, such as orders"},
		{"auth.jwt.default.rooms", &c.Auth.JWT.Default.Rooms, public,
			"the rooms of tokens without the claim, such as orders/*"},
		{"auth.jwt.default.send", &c.Auth.JWT.Default.Send, public,
			"what tokens without the claim may send to, such as orders/inbound"},
		{"auth.jwt.default.presence", &c.Auth.JWT.Default.Presence, public,
			"where tokens without the claim may see who is there, such as orders/*"},
		{"auth.jwt.leeway", &c.Auth.JWT.Leeway, public,
			"how far ahead a token's nbf may be, for clocks that differ, at most 10m; its end " +
				"has none"},
		{"auth.jwt.cache", &c.Auth.JWT.Cache, public,
			"bytes to remember tokens that were verified with a public key"},
		{"auth.api_keys", &c.Auth.APIKeys, secret,
			"publishers' keys, as name:scopes:sha256-hex; see fanfare key"},
		{"auth.query_token", &c.Auth.QueryToken, public,
			"take session tokens from ?token= too, where logs may see them"},
		{"auth.callback.url", &c.Auth.Callback.URL, public,
			"the application's endpoint that is asked who a client without a token is; empty: none"},
		{"auth.callback.timeout", &c.Auth.Callback.Timeout, public,
			"how long one question may take, waiting for its turn included"},
		{"auth.callback.concurrency", &c.Auth.Callback.Concurrency, public,
			"most questions at a time; for each, sixteen requests may wait"},
		{"auth.callback.headers", &c.Auth.Callback.Headers, public,
			"the headers that the endpoint is sent, beside the cookies"},
		{"auth.callback.secret", &c.Auth.Callback.Secret, secret,
			"sent to the endpoint in Authorization, as a bearer token"},
		{"auth.reload", &c.Auth.Reload, public,
			"how often fanfare serve looks whether the files with the settings of auth have changed"},
		{"origins", &c.Origins, public,
			"web origins that may connect, such as https://*.example.com, or *; empty: the " +
				"same host"},
		{"proxies", &c.Proxies, public, "networks of proxies whose proxy_header is believed"},
		{"proxy_header", &c.ProxyHeader, public,
			"the header in which proxies name their clients: X-Forwarded-For, another of its " +
				"form, or Forwarded"},
		{"envelope.user_field", &c.Envelope.UserField, public,
			"adopt existing topics: the field of every message that names the user"},
		{"window.messages", &c.Window.Messages, public,
			"entries kept in memory per system; as a rule window.bytes or window.age decides before"},
		{"window.bytes", &c.Window.Bytes, public,
			"bytes that the entries in memory may take, for all systems together"},
		{"window.age", &c.Window.Age, public,
			"how long entries are kept in memory; a node that starts reads as much of the log"},
		{"dedupe.age", &c.Dedupe.Age, public,
			"how long a message's id is remembered, so that the same message is delivered once"},
		{"resume.max_scan", &c.Resume.MaxScan, public,
			"entries of a system's log read again in one turn, for sessions that come back late"},
		{"resume.bytes", &c.Resume.Bytes, public,
			"bytes of logs read again that wait for sessions that take them slowly, for all " +
				"systems"},
		{"limits.message_bytes", &l.MessageBytes, public,
			"largest data of a message that comes over HTTP or from a client"},
		{"limits.outbox_bytes", &l.OutboxBytes, public,
			"most that waits for one session; with more to come it keeps its position alone, and catches " +
				"up as it reads"},
		{"limits.systems", &l.Systems, public, "most systems served at once when systems is *"},
		{"limits.systems_per_user", &l.SystemsPerUser, public,
			"most systems open because of one user alone, when systems is *"},
		{"limits.sessions", &l.Sessions, public, "most sessions on this node"},
		{"limits.sessions_per_user", &l.SessionsPerUser, public,
			"most sessions of one user on this node; one more closes the user's oldest (4010)"},
		{"limits.ended_sessions", &l.EndedSessions, public,
			"sessions that have ended and are remembered, so that a trace says what became of a message for them"},
		{"limits.inbound_rate", &l.InboundRate, public, "operations a second from one session"},
		{"limits.inbound_bytes", &l.InboundBytes, public,
			"most that users have sent to one system from this node and that is not consumed " +
				"yet, where the bus can say"},
		{"limits.inbound_user_bytes", &l.InboundUserBytes, public,
			"most that one user has sent from this node and that is not consumed yet, in all systems"},
		{"limits.frame_rate", &l.FrameRate, public,
			"WebSocket frames a second from one session, parts of messages included; at least " +
				"twice inbound_rate is allowed"},
		{"limits.control_rate", &l.ControlRate, public,
			"pings and pongs a second from one session"},
		{"limits.stall", &l.Stall, public, "how long a session may read nothing before it is closed (4008)"},
		{"limits.answer_time", &l.AnswerTime, public,
			"how long a client may take to read an answer that begins no session"},
		{"limits.body_time", &l.BodyTime, public,
			"how long the body of a request may take to come"},
		{"limits.body_stall", &l.BodyStall, public, "how long nothing of the body of a request may come"},
		{"limits.body_bytes", &l.BodyBytes, public,
			"memory for bodies of requests in flight, of all publishers"},
		{"limits.body_bytes_per_key", &l.BodyBytesPerKey, public,
			"memory for bodies of requests in flight, of one API key"},
		{"limits.idle_connections", &l.IdleConnections, public,
			"most connections that wait for their next request; one more ends the one that " +
				"has waited longest"},
		{"limits.socket_bytes", &l.SocketBytes, public,
			"most of one connection in the system's buffers, each way"},
		{"control.disabled", &c.Control.Disabled, public,
			"leave this node out of what nodes tell each other: blocks, disconnects, members, presence"},
		{"control.heartbeat", &c.Control.Heartbeat, public, "how often a node says how it is"},
		{"control.dead_after", &c.Control.DeadAfter, public,
			"how long a node may be silent before it counts as dead, at least twice heartbeat"},
		{"control.refresh", &c.Control.Refresh, public,
			"how often each block, revocation, member and the like is said again; less than a fifth of " +
				"the bus's retention"},
		{"control.facts", &c.Control.Facts, public,
			"most blocks, revocations, members and the like, for all nodes together; the same on all nodes"},
		{"control.marks", &c.Control.Marks, public,
			"most sessions, of all nodes together, of which receipts are known once they or their nodes have ended"},
		{"presence.systems", &c.Presence.Systems, public,
			"the systems for which it is known who is there, or *; empty: none; the same on all nodes"},
		{"presence.grace", &c.Presence.Grace, public,
			"how long a user without a session is still present, for those who reconnect"},
		{"presence.members", &c.Presence.Members, public,
			"up to how many users of a place those who watch it are told the names"},
		{"events", &c.Events, public,
			"the systems whose services are told on a topic who comes and goes; of presence.systems"},
		{"drain", &c.Drain, public, "over how long sessions are asked to go at the end"},
		{"drain_grace", &c.DrainGrace, public,
			"how long a session that was asked to go may stay while its client connects elsewhere"},
		{"publish_timeout", &c.PublishTimeout, public, "how long a publish may wait for the bus"},
		{"standard_http", &c.StandardHTTP, public,
			"serve publishers with net/http like all others, which costs more"},
		{"webhooks", &c.Webhooks, secret,
			"endpoints to post events and what clients send to, each as words: name=crm " +
				"url=https://… secret_file=PATH systems=chat+orders events inbound"},
		{"log.level", &c.Log.Level, public, "debug, info, warn or error"},
		{"log.format", &c.Log.Format, public, "text or json"},
	}
}

// fileSuffix is what the name of a setting ends in that names a secret's file.
const fileSuffix = "_file"

// keys returns the names of all settings, also of those that name files.
func keys() []string {
	var all []string
	for _, s := range All() {
		all = append(all, s.Key)
		if s.Secret {
			all = append(all, s.Key+fileSuffix)
		}
	}
	return all
}
