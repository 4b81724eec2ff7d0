package settings

import (
	"time"

	"github.com/fanfarebus/fanfare"
)

// A Setting is one thing that can be configured: --key, FANFARE_KEY, key: in
// the file.
type Setting struct {
	Key    string
	Help   string
	Secret bool // may also come from a file that KEY_file names
	field  func(*fanfare.Config) any
}

// All returns every setting, in the order in which people want to see them.
func All() []Setting {
	text := func(key, help string, field func(*fanfare.Config) *string) Setting {
		return Setting{Key: key, Help: help, field: func(c *fanfare.Config) any { return field(c) }}
	}
	list := func(key, help string, field func(*fanfare.Config) *[]string) Setting {
		return Setting{Key: key, Help: help, field: func(c *fanfare.Config) any { return field(c) }}
	}
	span := func(key, help string, field func(*fanfare.Config) *time.Duration) Setting {
		return Setting{Key: key, Help: help, field: func(c *fanfare.Config) any { return field(c) }}
	}
	size := func(key, help string, field func(*fanfare.Config) *fanfare.Size) Setting {
		return Setting{Key: key, Help: help, field: func(c *fanfare.Config) any { return field(c) }}
	}
	number := func(key, help string, field func(*fanfare.Config) *int) Setting {
		return Setting{Key: key, Help: help, field: func(c *fanfare.Config) any { return field(c) }}
	}
	secret := func(key, help string, field func(*fanfare.Config) any) Setting {
		return Setting{Key: key, Help: help, Secret: true, field: field}
	}
	type c = *fanfare.Config
	return []Setting{
		text("listen", "host:port for clients and publishers", func(c c) *string { return &c.Listen }),
		text("admin_listen", "host:port for metrics and docs; empty: on listen", func(c c) *string { return &c.AdminListen }),
		secret("transport", "the bus, as a URL: memory://, redis://host:6379/0, redis-streams://host:6379/0, nats://host:4222, jetstream://host:4222, kafka://host:9092; while it is moved, the old and the new", func(c c) any { return (*urls)(&c.Transport) }),
		list("systems", "the systems to serve, or *", func(c c) *[]string { return &c.Systems }),
		text("node", "this node's name; empty: made from the host's", func(c c) *string { return &c.Node }),
		text("topic", "template of topic names", func(c c) *string { return &c.Topic }),
		secret("auth.jwt.secret", "secret of session tokens (HMAC), at least 32 bytes", func(c c) any { return &c.Auth.JWT.Secret }),
		secret("auth.jwt.public_key", "public keys of session tokens (RSA, ECDSA, Ed25519), PEM, one or several", func(c c) any { return &c.Auth.JWT.PublicKey }),
		text("auth.jwt.issuer", "what a token's iss must be; empty: anything", func(c c) *string { return &c.Auth.JWT.Issuer }),
		text("auth.jwt.audience", "what a token's aud must hold; empty: tokens must have none", func(c c) *string { return &c.Auth.JWT.Audience }),
		span("auth.jwt.leeway", "how far ahead a token's nbf may be, for clocks that differ, at most 10m; its end has none", func(c c) *time.Duration { return &c.Auth.JWT.Leeway }),
		secret("auth.api_keys", "publishers' keys, as name:scopes:sha256-hex; see fanfare key", func(c c) any { return &c.Auth.APIKeys }),
		{Key: "auth.query_token", Help: "take session tokens from ?token= too, where logs may see them", field: func(c c) any { return &c.Auth.QueryToken }},
		list("origins", "web origins that may connect, such as https://*.example.com, or *; empty: the same host", func(c c) *[]string { return &c.Origins }),
		list("proxies", "networks of proxies whose proxy_header is believed", func(c c) *[]string { return &c.Proxies }),
		text("proxy_header", "the header in which proxies name their clients: X-Forwarded-For, another of its form, or Forwarded", func(c c) *string { return &c.ProxyHeader }),
		text("envelope.user_field", "adopt existing topics: the field of every message that names the user", func(c c) *string { return &c.Envelope.UserField }),
		number("window.messages", "entries kept in memory per system", func(c c) *int { return &c.Window.Messages }),
		size("window.bytes", "bytes kept in memory for all systems", func(c c) *fanfare.Size { return &c.Window.Bytes }),
		span("window.age", "how long entries are kept in memory", func(c c) *time.Duration { return &c.Window.Age }),
		span("dedupe.age", "how long a message's id is remembered", func(c c) *time.Duration { return &c.Dedupe.Age }),
		number("resume.max_scan", "entries of a system's log read again for sessions that come back late", func(c c) *int { return &c.Resume.MaxScan }),
		size("resume.bytes", "bytes of logs read again and kept for sessions that come back late, for all systems", func(c c) *fanfare.Size { return &c.Resume.Bytes }),
		size("limits.message_bytes", "largest data of a message", func(c c) *fanfare.Size { return &c.Limits.MessageBytes }),
		size("limits.outbox_bytes", "most that waits for one session", func(c c) *fanfare.Size { return &c.Limits.OutboxBytes }),
		number("limits.systems", "most systems served at once when systems is *", func(c c) *int { return &c.Limits.Systems }),
		number("limits.systems_per_user", "of these, most that are open because of one user alone", func(c c) *int { return &c.Limits.SystemsPerUser }),
		number("limits.sessions", "most sessions on this node", func(c c) *int { return &c.Limits.Sessions }),
		number("limits.sessions_per_user", "most sessions of one user on this node", func(c c) *int { return &c.Limits.SessionsPerUser }),
		number("limits.inbound_rate", "operations a second from one session", func(c c) *int { return &c.Limits.InboundRate }),
		size("limits.inbound_bytes", "most that users have sent to one system from this node and that is not consumed yet, where the bus can say", func(c c) *fanfare.Size { return &c.Limits.InboundBytes }),
		size("limits.inbound_user_bytes", "of these, most that is from one user, in all systems", func(c c) *fanfare.Size { return &c.Limits.InboundUserBytes }),
		number("limits.frame_rate", "WebSocket frames a second from one session, parts of messages included; at least twice inbound_rate is allowed", func(c c) *int { return &c.Limits.FrameRate }),
		number("limits.control_rate", "pings and pongs a second from one session", func(c c) *int { return &c.Limits.ControlRate }),
		span("limits.stall", "how long a session may take nothing", func(c c) *time.Duration { return &c.Limits.Stall }),
		span("limits.answer_time", "how long a client may take to read an answer that begins no session", func(c c) *time.Duration { return &c.Limits.AnswerTime }),
		span("limits.body_time", "how long the body of a request may take to come", func(c c) *time.Duration { return &c.Limits.BodyTime }),
		span("limits.body_stall", "how long of that nothing may come", func(c c) *time.Duration { return &c.Limits.BodyStall }),
		size("limits.body_bytes", "memory for bodies of requests in flight, of all publishers", func(c c) *fanfare.Size { return &c.Limits.BodyBytes }),
		size("limits.body_bytes_per_key", "memory for bodies of requests in flight, of one API key", func(c c) *fanfare.Size { return &c.Limits.BodyBytesPerKey }),
		number("limits.idle_connections", "most connections that wait for their next request; one more ends the one that has waited longest", func(c c) *int { return &c.Limits.IdleConnections }),
		size("limits.socket_bytes", "most of one connection in the system's buffers, each way", func(c c) *fanfare.Size { return &c.Limits.SocketBytes }),
		span("drain", "over how long sessions are asked to go at the end", func(c c) *time.Duration { return &c.Drain }),
		span("publish_timeout", "how long a publish may wait for the bus", func(c c) *time.Duration { return &c.PublishTimeout }),
		text("log.level", "debug, info, warn or error", func(c c) *string { return &c.Log.Level }),
		text("log.format", "text or json", func(c c) *string { return &c.Log.Format }),
	}
}

// fileSuffix makes the key under which a secret's file is named.
const fileSuffix = "_file"

// keys returns every key that may be given, files' keys included.
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
