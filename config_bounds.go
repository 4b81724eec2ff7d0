package fanfare

import (
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

// A bound says between what a number in the settings has to be, both ends
// included. Bounds find what somebody wrote by mistake, and keep sums and
// products of settings from overflowing.
type bound struct {
	key              string
	value, low, high int64
	show             func(int64) string
}

const (
	day      = 24 * time.Hour
	month    = 30 * day
	maxCount = 100_000_000
	mebi     = 1 << 20
	tebi     = 1 << 40
)

// bounds returns the bounds of all numbers in the settings but auth.jwt.leeway,
// which checkAuth checks.
func (c Config) bounds() []bound {
	l, instant := c.Limits, int64(time.Millisecond)
	span := func(key string, value time.Duration, low int64, high time.Duration) bound {
		show := func(n int64) string { return briefly(time.Duration(n)) }
		return bound{key, int64(value), low, int64(high), show}
	}
	size := func(key string, value, high Size) bound {
		show := func(n int64) string { return Size(n).String() }
		return bound{key, int64(value), 1, int64(high), show}
	}
	count := func(key string, value int, high int64) bound {
		show := func(n int64) string { return fmt.Sprint(n) }
		return bound{key, int64(value), 1, high, show}
	}
	return []bound{
		size("auth.jwt.cache", c.Auth.JWT.Cache, tebi),
		span("auth.callback.timeout", c.Auth.Callback.Timeout, instant, session.DefaultAuthenticate),
		count("auth.callback.concurrency", c.Auth.Callback.Concurrency, 10_000),
		span("auth.reload", c.Auth.Reload, instant, day),
		span("auth.jwt.jwks_refresh", c.Auth.JWT.JWKSRefresh, int64(time.Second), day),
		span("auth.jwt.jwks_timeout", c.Auth.JWT.JWKSTimeout, instant, time.Minute),
		count("window.messages", c.Window.Messages, maxCount),
		size("window.bytes", c.Window.Bytes, tebi),
		span("window.age", c.Window.Age, 1, month),
		span("dedupe.age", c.Dedupe.Age, 1, month),
		count("resume.max_scan", c.Resume.MaxScan, maxCount),
		size("resume.bytes", c.Resume.Bytes, tebi),
		size("limits.message_bytes", l.MessageBytes, 64*mebi),
		size("limits.outbox_bytes", l.OutboxBytes, 1024*mebi),
		count("limits.systems", l.Systems, 100_000),
		count("limits.sessions", l.Sessions, maxCount),
		count("limits.sessions_per_user", l.SessionsPerUser, maxCount),
		count("limits.ended_sessions", l.EndedSessions, 1_000_000),
		count("limits.inbound_rate", l.InboundRate, 1_000_000),
		size("limits.inbound_bytes", l.InboundBytes, tebi),
		size("limits.inbound_user_bytes", l.InboundUserBytes, tebi),
		count("limits.systems_per_user", l.SystemsPerUser, 100_000),
		count("limits.frame_rate", l.FrameRate, 1_000_000),
		count("limits.control_rate", l.ControlRate, 1_000_000),
		span("limits.stall", l.Stall, instant, time.Hour),
		span("limits.answer_time", l.AnswerTime, instant, time.Hour),
		span("limits.body_time", l.BodyTime, instant, time.Hour),
		span("limits.body_stall", l.BodyStall, instant, time.Hour),
		size("limits.body_bytes", l.BodyBytes, tebi),
		size("limits.body_bytes_per_key", l.BodyBytesPerKey, tebi),
		count("limits.idle_connections", l.IdleConnections, maxCount),
		size("limits.socket_bytes", l.SocketBytes, 1024*mebi),
		span("control.heartbeat", c.Control.Heartbeat, instant, time.Minute),
		span("control.dead_after", c.Control.DeadAfter, instant, time.Hour),
		span("control.refresh", c.Control.Refresh, instant, day),
		count("control.facts", c.Control.Facts, 10_000_000),
		count("control.marks", c.Control.Marks, 10_000_000),
		span("presence.grace", c.Presence.Grace, instant, time.Hour),
		count("presence.members", c.Presence.Members, 100_000),
		span("drain", c.Drain, 1, day),
		span("drain_grace", c.DrainGrace, 1, time.Hour),
		span("publish_timeout", c.PublishTimeout, instant, 10*time.Minute),
	}
}

// fault returns what is wrong with the value, nil if nothing is.
func (b bound) fault() error {
	switch {
	case b.value <= 0:
		return fault(b.key, "must be more than 0")
	case b.value < b.low:
		return fault(b.key, "%s is too little: want at least %s", b.show(b.value), b.show(b.low))
	case b.value > b.high:
		return fault(b.key, "%s is too much: want at most %s", b.show(b.value), b.show(b.high))
	}
	return nil
}

// briefly shows a duration of whole hours as such: 24h, not 24h0m0s.
func briefly(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}
