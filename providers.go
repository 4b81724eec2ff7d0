package fanfare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/adapters/metrics"
	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/api"
	"github.com/fanfarebus/fanfare/ports/devpage"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/ports/router"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/sse"
	"github.com/fanfarebus/fanfare/ports/ws"
	"github.com/fanfarebus/fanfare/publisher"
)

// This file holds the providers: each makes one part of a node from the settings
// and from other parts. wire.go lists them, and wire_gen.go calls them. They
// stand in the order in which a message meets what they make.

// openBus opens the bus, which the cleanup closes.
func openBus(ctx context.Context, cfg Config, o options) (bus, func(), error) {
	tc := transport.Config{
		PublishTimeout: cfg.PublishTimeout,
		NoNumbers:      cfg.Envelope.UserField != "", // others have defined these messages
		PublishOnly:    o.publishOnly,
		Published:      func(took time.Duration) { o.published.Observe(took, 1) },
		Logger:         o.log,
	}
	if o.driver != nil {
		b := transport.New(o.driver, tc)
		return b, func() { closeBus(b, o.log) }, nil
	}
	b, err := openURLs(ctx, cfg, tc, o)
	if err != nil {
		return nil, nil, err
	}
	return b, func() { closeBus(b, o.log) }, nil
}

func closeBus(b bus, log *slog.Logger) {
	if err := b.Close(); err != nil {
		log.Warn("closing the bus", "error", err)
	}
}

// openURLs opens the bus that the settings name, or two as one, of which the
// second is to take over.
func openURLs(ctx context.Context, cfg Config, tc transport.Config, o options) (bus, error) {
	urls := dsn.SplitURLs(cfg.Transport)
	if len(urls) == 1 {
		return o.openers.Open(ctx, urls[0], tc)
	}
	if len(urls) != 2 {
		return nil, fmt.Errorf("transport: want one URL, or while the bus is moved two: "+
			"the old and the new; got %d", len(urls))
	}
	served, err := servedTopics(cfg)
	if err != nil {
		return nil, err
	}
	from, to, err := openBoth(ctx, urls[0], urls[1], tc, o)
	if err != nil {
		return nil, err
	}
	b, err := migrate.NewDualBus(from, to, migrate.Config{Logger: o.log, Topics: served})
	if err != nil {
		return nil, errors.Join(err, from.Close(), to.Close())
	}
	return b, nil
}

// openBoth opens the two buses of a migration. Their log lines say which is
// which.
func openBoth(
	ctx context.Context, oldURL, newURL string, tc transport.Config, o options,
) (from, to *transport.Transport, err error) {
	tc.Logger = o.log.With("bus", "old")
	if from, err = o.openers.Open(ctx, oldURL, tc); err != nil {
		return nil, nil, err
	}
	tc.Logger = o.log.With("bus", "new")
	if to, err = o.openers.Open(ctx, newURL, tc); err != nil {
		return nil, nil, errors.Join(err, from.Close())
	}
	return from, to, nil
}

// newTopics reads the template of topic names. It also checks that the bus can
// carry the topics of the systems that are always served.
func newTopics(cfg Config, b bus) (domain.Topics, error) {
	topics, err := domain.ParseTopics(cfg.Topic)
	if err != nil {
		return topics, err
	}
	served, err := servedTopics(cfg)
	if err != nil {
		return topics, err
	}
	for _, topic := range served {
		if err := b.CheckTopic(topic); err != nil {
			return topics, fmt.Errorf("topic: %w", err)
		}
	}
	return topics, nil
}

// servedTopics returns the topics of the systems that are always served.
func servedTopics(cfg Config) (names []string, err error) {
	topics, err := domain.ParseTopics(cfg.Topic)
	if err != nil {
		return nil, err
	}
	served, err := servedSystems(cfg)
	for _, s := range served {
		names = append(names, topics.Topic(s))
	}
	return names, err
}

// servedSystems returns the systems that are always served. With "*" there are
// none: then a system is served while sessions are attached to it.
func servedSystems(cfg Config) (served []domain.System, err error) {
	for _, name := range cfg.Systems {
		if name == "*" {
			continue
		}
		s, err := domain.ParseSystem(name)
		if err != nil {
			return nil, domain.At("systems", err)
		}
		served = append(served, s)
	}
	return served, nil
}

// newRouter makes the router. Its feeds begin in the past, as far back as the
// window reaches: so a node that has just started can resume sessions that were
// on another node.
func newRouter(cfg Config, b bus, topics domain.Topics, o options) (*router.Router, error) {
	rc := router.Config{
		Rules:  envelope.Rules{UserField: cfg.Envelope.UserField},
		Tracer: o.tracer(cfg.Node),
		Logger: o.log,
	}
	if b.Guarantees().Log {
		rc.Replayer = b
	}
	return router.New(b.BatchesSince(cfg.Window.Age), topics, rc)
}

// newHub makes the streams of the systems, which share the memory for windows and
// for what is read from logs again.
func newHub(cfg Config, r *router.Router, b bus, o options) (*stream.Hub, error) {
	always, err := servedSystems(cfg)
	if err != nil {
		return nil, err
	}
	return stream.NewHub(r, stream.HubConfig{
		Systems:     always,
		Any:         slices.Contains(cfg.Systems, "*"),
		MaxSystems:  cfg.Limits.Systems,
		UserSystems: cfg.Limits.SystemsPerUser,
		Stream: stream.Config{
			Messages:  cfg.Window.Messages,
			Age:       cfg.Window.Age,
			Budget:    stream.NewBudget(int64(cfg.Window.Bytes)),
			DedupeAge: cfg.Dedupe.Age,
			HasLog:    b.Guarantees().Log,
			Backlog:   stream.NewBudget(int64(cfg.Resume.Bytes)),
			MaxScan:   cfg.Resume.MaxScan,
			Traced:    o.traces != nil,
		},
	}), nil
}

// newReader makes what reads the histories of systems.
func newReader(cfg Config, r *router.Router, hub *stream.Hub, b bus) *router.Reader {
	rc := router.ReaderConfig{MaxScan: cfg.Resume.MaxScan, DedupeAge: cfg.Dedupe.Age}
	if b.Guarantees().Log {
		rc.Rewinder = b
	}
	return router.NewReader(r, hub, rc)
}

// newEnvelopePublisher makes what publishes for the HTTP API and for clients. It
// bounds what clients send that nobody has consumed yet.
func newEnvelopePublisher(cfg Config, b bus, topics domain.Topics, o options) domain.Publisher {
	out := transport.NewEnvelopePublisher(b, topics, int(cfg.Limits.MessageBytes))
	out.LimitInbound(transport.InboundLimits{
		User:   int64(cfg.Limits.InboundUserBytes),
		System: int64(cfg.Limits.InboundBytes),
	}, o.log)
	if t := o.tracer(cfg.Node); t != nil {
		out.Trace(t)
	}
	return loggedPublisher{out, o.log}
}

// newPublisher makes what publishes for [Node.Publish]. Nobody closes it: the bus
// is closed with the node.
func newPublisher(cfg Config, b bus, o options) (*publisher.Publisher, error) {
	pc := publisher.Config{
		Topic: cfg.Topic, MessageBytes: int(cfg.Limits.MessageBytes), Tracer: o.tracer(cfg.Node),
	}
	return publisher.NewOnBus(b, pc)
}

// newAnswerers makes what the node answers when nodes ask each other. It answers itself, too,
// if the control plane is off.
func newAnswerers(cfg Config) *plane.Answerers { return plane.NewAnswerers(cfg.Node) }

// newPlane makes the node's part in the control plane; nil if that is off.
func newPlane(
	cfg Config, b bus, topics domain.Topics, answerers *plane.Answerers, o options,
) (*plane.Plane, error) {
	if cfg.Control.Disabled {
		return nil, nil
	}
	presence, err := chosen("presence.systems", cfg.Presence.Systems)
	if err != nil {
		return nil, err
	}
	events, err := chosen("events", cfg.Events)
	if err != nil {
		return nil, err
	}
	return plane.New(controlBuses(b), rawPublisher{b, topics}, plane.Config{
		Control: control.Config{
			Node:      cfg.Node,
			Version:   o.version,
			Presence:  presence,
			Events:    events,
			Heartbeat: cfg.Control.Heartbeat,
			DeadAfter: cfg.Control.DeadAfter,
			Grace:     cfg.Presence.Grace,
			Refresh:   cfg.Control.Refresh,
			Facts:     cfg.Control.Facts,
			Log:       b.Guarantees().Log,
			Webhooks:  hashOfWebhooks(cfg.Webhooks),
		},
		Answerers:      answerers,
		Topics:         topics,
		Deaf:           func(topic string) bool { return slices.Contains(b.DeafTopics(), topic) },
		PublishTimeout: cfg.PublishTimeout,
		Logger:         o.log,
	}), nil
}

// chosen returns what says of a system whether a setting names it; nil if that names none.
func chosen(key string, names []string) (func(domain.System) bool, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if slices.Contains(names, "*") {
		return func(domain.System) bool { return true }, nil
	}
	all := make(map[domain.System]bool, len(names))
	for _, name := range names {
		s, err := domain.ParseSystem(name)
		if err != nil {
			return nil, domain.At(key, err)
		}
		all[s] = true
	}
	return func(s domain.System) bool { return all[s] }, nil
}

// newRegistry makes what lets clients in and holds their sessions.
func newRegistry(
	cfg Config, hub *stream.Hub, p *plane.Plane, l *logins, reader *router.Reader, o options,
) (*session.Registry, error) {
	presence, err := chosen("presence.systems", cfg.Presence.Systems)
	if err != nil {
		return nil, err
	}
	sc := session.Config{
		Node:            cfg.Node,
		Origins:         cfg.Origins,
		ProxyHeader:     cfg.ProxyHeader,
		Sessions:        cfg.Limits.Sessions,
		SessionsPerUser: cfg.Limits.SessionsPerUser,
		Drain:           cfg.Drain,
		Grace:           cfg.DrainGrace,
		Presence:        presence,
		Members:         cfg.Presence.Members,
		History:         reader,
	}
	if p != nil {
		sc.Control = p
	}
	for _, text := range cfg.Proxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("proxies: %w", err)
		}
		sc.Proxies = append(sc.Proxies, network)
	}
	if cfg.Dev && l.authenticate == nil {
		sc.Tokenless = func(r *http.Request) (domain.Grant, error) {
			return auth.Dev{}.Authenticate(r.Context(), r.URL.Query().Get("user"))
		}
		return session.New(hub, nil, sc, o.log)
	}
	id := l.current()
	sc.Login = id.Login
	registry, err := session.New(hub, id.Tokens, sc, o.log)
	if err == nil {
		registry.SetIdentity(id)
	}
	return registry, err
}

// newWebSockets makes the server of /ws. Whatever limits.frame_rate is, a session
// may send two frames for each operation that limits.inbound_rate allows.
func newWebSockets(
	cfg Config, registry *session.Registry, out domain.Publisher, o options,
) (*ws.Server, error) {
	operations := float64(cfg.Limits.InboundRate)
	return ws.New(registry, out, ws.Config{
		MessageBytes: int(cfg.Limits.MessageBytes),
		OutboxBytes:  int(cfg.Limits.OutboxBytes),
		SessionRate:  session.Rate{Messages: operations},
		FrameRate:    max(float64(cfg.Limits.FrameRate), 2*operations),
		ControlRate:  float64(cfg.Limits.ControlRate),
		Stall:        cfg.Limits.Stall,
		Publish:      cfg.PublishTimeout,
	}, o.log)
}

// newEvents makes the server of /sse.
func newEvents(cfg Config, registry *session.Registry) (*sse.Server, error) {
	return sse.New(registry, sse.Config{
		OutboxBytes: int(cfg.Limits.OutboxBytes),
		Stall:       cfg.Limits.Stall,
	})
}

// newAPI makes the HTTP API. In development mode it needs no keys.
func newAPI(
	cfg Config, out domain.Publisher, h *health, hub *stream.Hub, p *plane.Plane, answerers *plane.Answerers,
	l *logins, reader *router.Reader, registry *session.Registry, o options,
) (*api.API, error) {
	ac := api.Config{
		MessageBytes: int(cfg.Limits.MessageBytes),
		Bodies:       int64(cfg.Limits.BodyBytes),
		BodiesPerKey: int64(cfg.Limits.BodyBytesPerKey),
		AnswerTime:   cfg.Limits.AnswerTime,
		BodyTime:     cfg.Limits.BodyTime,
		BodyStall:    cfg.Limits.BodyStall,
		Version:      o.version,
		Logger:       o.log,
		History:      reader,
		Encoder:      session.V1Encoder{},
		Greedy:       func(err error) bool { return errors.Is(err, router.ErrReads) },
		Clientele:    registry,
	}
	ac.Asker, ac.Viewer = answerers, viewer{hub}
	if p != nil {
		ac.Control, ac.Asker = p, p
	}
	if cfg.Dev {
		return api.New(out, auth.Dev{}, h, ac)
	}
	return api.New(out, l.keys, h, ac)
}

// newNode makes the node of its parts, what it answers other nodes, and the routes that it
// serves.
func newNode(cfg Config, o options, p parts, m *metrics.Registry) (*Node, error) {
	p.answerers.Handle(control.SessionsKind, p.registry.AnswerSessions)
	public, admin := http.NewServeMux(), http.NewServeMux()
	public.Handle("/ws", p.sockets)
	public.Handle("/sse", p.events)
	p.api.Publishing(public)
	p.api.Remembering(public)
	p.api.Controlling(public)
	for _, mux := range []*http.ServeMux{public, admin} {
		p.api.Unknown(mux)
		p.api.HealthChecks(mux)
	}
	p.api.Admin(admin, m.Handler())
	if cfg.Admin.Public || cfg.Dev && cfg.AdminListen == "" {
		p.api.Admin(public, m.Handler())
	} else {
		p.api.NoAdmin(public)
	}
	guard := func(h http.Handler) http.Handler { return h }
	if cfg.Dev {
		page, err := newPage(cfg)
		if err != nil {
			return nil, err
		}
		public.Handle("GET /{$}", page)
		guard = api.DevGuard
	}
	return &Node{
		parts:  p,
		cfg:    cfg,
		log:    o.log,
		public: api.NoSniff(lastAnswers(p.health, p.api.Bounded(guard(public)))),
		admin:  api.NoSniff(p.api.Bounded(guard(admin))),
	}, nil
}

// newPage makes the page of a node in development mode.
func newPage(cfg Config) (*devpage.Page, error) {
	pc := devpage.Config{Systems: cfg.Systems, Topic: cfg.Topic, Transport: cfg.Transport}
	if cfg.AdminListen == "" {
		pc.Docs = "/docs"
	}
	return devpage.New(pc)
}

// lastAnswers lets the answers of a node that drains be the last ones of their connections.
// Otherwise a proxy could send a request into a connection that the node is just closing,
// and would not know whether the node has done anything for it.
func lastAnswers(h *health, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.isDraining() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
