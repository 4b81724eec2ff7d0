package fanfare

import (
	"strconv"

	"github.com/fanfarebus/fanfare/adapters/metrics"
	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/api"
	"github.com/fanfarebus/fanfare/ports/router"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/sse"
	"github.com/fanfarebus/fanfare/ports/ws"
)

// newMetrics shows what the parts of a node count. Its names are part of what
// users rely on; docs/operating.md lists them.
func newMetrics(cfg Config, o options, bus bus, r *router.Router, hub *stream.Hub, registry *session.Registry, sockets *ws.Server, events *sse.Server, a *api.API, st *status) *metrics.Registry {
	m := metrics.New("fanfare")
	m.Info("build_info", "The software and the node.", map[string]string{"version": o.version, "node": cfg.Node})
	showBus(m, bus, r)
	m.PerLabel("deaf", "1 while a system's messages do not come here, though the bus answers.", metrics.Gauge, "system", st.deafSystems)
	showStreams(m, hub)
	showSessions(m, registry)
	showSockets(m, sockets)
	showEvents(m, events)
	m.Counter("http_published_total", "Messages that the bus took from the HTTP API.", func() float64 { return float64(a.Stats().Accepted) })
	m.Gauge("http_body_bytes", "Memory that the bodies of publish requests in flight take.", func() float64 { return float64(a.Stats().Bodies) })
	m.PerLabel("http_unauthorized_total", "Of the publish requests refused, those whose API key is the reason, by why.", metrics.Counter, "reason",
		func() map[string]float64 { return byName(a.Stats().Unauthorized) })
	m.PerLabel("http_refused_total", "Publish requests refused, by status.", metrics.Counter, "status", func() map[string]float64 { return byNumber(a.Stats().Refused) })
	return m
}

func showBus(m *metrics.Registry, bus bus, r *router.Router) {
	m.Gauge("bus_up", "1 while the bus answers.", func() float64 {
		if bus.Up() {
			return 1
		}
		return 0
	})
	for _, c := range []struct {
		name, help string
		read       func(transport.Stats) uint64
	}{
		{"bus_published_total", "Messages that the bus took.", func(s transport.Stats) uint64 { return s.Published }},
		{"bus_publish_errors_total", "Messages that it did not take, or of which that is not known.", func(s transport.Stats) uint64 { return s.PublishErrors }},
		{"bus_reads_total", "Reads that returned entries.", func(s transport.Stats) uint64 { return s.Batches }},
		{"bus_holes_total", "Holes in publishers' numbers, on a bus without a log.", func(s transport.Stats) uint64 { return s.Missing }},
		{"bus_late_total", "Messages dropped because they came after the hole that they left, or again.", func(s transport.Stats) uint64 { return s.Late }},
		{"bus_interruptions_total", "Times a subscription was interrupted.", func(s transport.Stats) uint64 { return s.Interruptions }},
	} {
		m.Counter(c.name, c.help, func() float64 { return float64(c.read(bus.Stats())) })
	}
	m.Gauge("bus_moved_systems", "Systems for which the new bus has taken over, of those in use here.", func() float64 {
		if moving, ok := bus.(*migrate.DualBus); ok {
			return float64(moving.Moved())
		}
		return 0
	})
	m.Gauge("bus_behind_subscriptions", "Subscriptions that have been behind the bus for more than 5 s.", func() float64 { return float64(bus.Stats().Lagging) })
	m.PerLabel("bus_breaks_total", "Interruptions without proof of continuity, by reason.", metrics.Counter, "reason",
		func() map[string]float64 { return byReason(bus.Stats().Gaps) })
	m.Counter("entries_total", "Entries read from the bus.", func() float64 { return float64(r.Stats().Entries) })
	m.Counter("poison_total", "Of these, those that could not be decoded.", func() float64 { return float64(r.Stats().Poison) })
	m.Counter("panics_total", "Of these, those whose delivery panicked.", func() float64 { return float64(r.Stats().Panics) })
}

func showStreams(m *metrics.Registry, hub *stream.Hub) {
	for _, c := range []struct {
		name, help string
		kind       metrics.Kind
		read       func(stream.Stats) float64
	}{
		{"delivered_total", "Messages that entered the window.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.Delivered) }},
		{"matched_total", "Messages for which a session was here.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.Matched) }},
		{"offered_total", "Messages given to sessions.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.Offered) }},
		{"duplicates_total", "Messages dropped because their id and content were seen already.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.Duplicates) }},
		{"id_conflicts_total", "Messages delivered under an id that was seen with other content.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.Conflicts) }},
		{"dedupe_forgotten_total", "Ids forgotten before their age, for want of room.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.Forgotten) }},
		{"expired_total", "Messages that arrived past their ttl.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.Expired) }},
		{"fell_back_total", "Times a session's outbox was full.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.FellBack) }},
		{"backfills_total", "Times the log was read again for sessions that came back late.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.Backfills) }},
		{"backfill_entries_total", "Entries read for that.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.Scanned) }},
		{"replaying_sessions", "Sessions that wait for the log to be read again.", metrics.Gauge, func(s stream.Stats) float64 { return float64(s.Replaying) }},
		{"resumed_total", "Sessions that went on at their cursor.", metrics.Counter, func(s stream.Stats) float64 { return float64(s.Resumed) }},
		{"window_entries", "Entries in the window.", metrics.Gauge, func(s stream.Stats) float64 { return float64(s.Entries) }},
		{"window_bytes", "Bytes of the window.", metrics.Gauge, func(s stream.Stats) float64 { return float64(s.Bytes) }},
		{"attached_sessions", "Sessions attached.", metrics.Gauge, func(s stream.Stats) float64 { return float64(s.Sessions) }},
		{"behind_sessions", "Of these, those that are catching up.", metrics.Gauge, func(s stream.Stats) float64 { return float64(s.Behind) }},
	} {
		m.PerLabel(c.name, c.help, c.kind, "system", func() map[string]float64 {
			all := make(map[string]float64)
			for _, s := range hub.Streams() {
				all[s.System().String()] = c.read(s.Stats())
			}
			return all
		})
	}
	m.PerLabel("gaps_told_total", "Gap notices given to sessions, by reason.", metrics.Counter, "reason", func() map[string]float64 {
		all := make(map[domain.GapReason]uint64)
		for _, s := range hub.Streams() {
			for reason, n := range s.Stats().GapsTold {
				all[reason] += n
			}
		}
		return byReason(all)
	})
}

func showSessions(m *metrics.Registry, registry *session.Registry) {
	m.Gauge("sessions", "Open sessions.", func() float64 { return float64(registry.Stats().Sessions) })
	m.Gauge("users", "Users with an open session.", func() float64 { return float64(registry.Stats().Users) })
	m.Counter("sessions_opened_total", "Sessions that were opened.", func() float64 { return float64(registry.Stats().Opened) })
	m.PerLabel("sessions_closed_total", "Sessions closed, by close code.", metrics.Counter, "code",
		func() map[string]float64 { return byNumber(registry.Stats().Closed) })
	m.PerLabel("connects_refused_total", "Connections refused, by status.", metrics.Counter, "status",
		func() map[string]float64 { return byNumber(registry.Stats().Refused) })
	m.PerLabel("refusals_total", "Connections, and new tokens of sessions, refused, by reason.", metrics.Counter, "reason",
		func() map[string]float64 { return byName(registry.Stats().Reasons) })
	m.PerLabel("unnamed_clients_total", "Connections whose proxy did not say whose they are, by why not.", metrics.Counter, "reason",
		func() map[string]float64 { return byName(registry.Stats().Unnamed) })
}

func showSockets(m *metrics.Registry, sockets *ws.Server) {
	for _, c := range []struct {
		name, help string
		read       func(ws.Stats) uint64
	}{
		{"received_messages_total", "WebSocket messages from clients.", func(s ws.Stats) uint64 { return s.MessagesIn }},
		{"received_bytes_total", "Bytes of these.", func(s ws.Stats) uint64 { return s.BytesIn }},
		{"received_frames_total", "WebSocket frames from clients: parts of messages, pings, pongs and closes.", func(s ws.Stats) uint64 { return s.FramesIn }},
		{"frame_breaches_total", "Sessions that ended for their frames: too many of them, or none that the protocol allows.", func(s ws.Stats) uint64 { return s.Breaches }},
		{"sent_frames_total", "Frames given to outboxes.", func(s ws.Stats) uint64 { return s.FramesOut }},
		{"sent_writes_total", "WebSocket writes that carried them.", func(s ws.Stats) uint64 { return s.WritesOut }},
		{"sent_bytes_total", "Bytes of these.", func(s ws.Stats) uint64 { return s.BytesOut }},
		{"op_errors_total", "Ops answered with an error.", func(s ws.Stats) uint64 { return s.Errors }},
		{"rate_limited_total", "Of these, for their rate.", func(s ws.Stats) uint64 { return s.RateLimited }},
	} {
		m.Counter(c.name, c.help, func() float64 { return float64(c.read(sockets.Stats())) })
	}
}

func showEvents(m *metrics.Registry, events *sse.Server) {
	m.Gauge("sse_sessions", "Of the open sessions, those over Server-Sent Events.", func() float64 { return float64(events.Stats().Sessions) })
	for _, c := range []struct {
		name, help string
		read       func(sse.Stats) uint64
	}{
		{"sse_sent_events_total", "Events written.", func(s sse.Stats) uint64 { return s.FramesOut }},
		{"sse_sent_writes_total", "Writes that carried them, and heartbeats.", func(s sse.Stats) uint64 { return s.WritesOut }},
		{"sse_sent_bytes_total", "Bytes of these.", func(s sse.Stats) uint64 { return s.BytesOut }},
		{"sse_stopped_total", "Clients told with 204 not to come back.", func(s sse.Stats) uint64 { return s.Stopped }},
		{"sse_sent_away_total", "Clients that could not be let in, and were told when to come back.", func(s sse.Stats) uint64 { return s.SentAway }},
	} {
		m.Counter(c.name, c.help, func() float64 { return float64(c.read(events.Stats())) })
	}
}

func byNumber(in map[int]uint64) map[string]float64 {
	out := make(map[string]float64, len(in))
	for n, count := range in {
		out[strconv.Itoa(n)] = float64(count)
	}
	return out
}

func byName(in map[string]uint64) map[string]float64 {
	out := make(map[string]float64, len(in))
	for name, count := range in {
		out[name] = float64(count)
	}
	return out
}

func byReason(in map[domain.GapReason]uint64) map[string]float64 {
	out := make(map[string]float64, len(in))
	for reason, count := range in {
		out[string(reason)] = float64(count)
	}
	return out
}
