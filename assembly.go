package fanfare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/adapters/metrics"
	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/api"
	"github.com/fanfarebus/fanfare/ports/devpage"
	"github.com/fanfarebus/fanfare/ports/router"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/sse"
	"github.com/fanfarebus/fanfare/ports/ws"
	"github.com/fanfarebus/fanfare/publisher"
)

// The providers from which wire_gen.go assembles a node, in the order in which
// a message meets them.

func openBus(ctx context.Context, cfg Config, o options) (bus, func(), error) {
	tc := transport.Config{
		PublishTimeout: cfg.PublishTimeout,
		NoNumbers:      cfg.Envelope.UserField != "", // adopted topics stay as they are
		PublishOnly:    o.publishOnly,
		Logger:         o.log,
	}
	open := func() (bus, error) {
		if o.driver != nil {
			return transport.New(o.driver, tc), nil
		}
		return openURLs(ctx, cfg, tc, o)
	}
	b, err := open()
	if err != nil {
		return nil, nil, err
	}
	return b, func() { closeBus(b, o.log) }, nil
}

// openURLs opens one bus, or two of which the second is to take over.
func openURLs(ctx context.Context, cfg Config, tc transport.Config, o options) (bus, error) {
	urls := dsn.SplitURLs(cfg.Transport)
	if len(urls) == 1 {
		return o.openers.Open(ctx, urls[0], tc)
	}
	if len(urls) != 2 {
		return nil, fmt.Errorf("transport: want one URL, or while the bus is moved two: the old and the new; got %d", len(urls))
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

// openBoth opens two buses; log lines say which is which.
func openBoth(ctx context.Context, old, new string, tc transport.Config, o options) (from, to *transport.Transport, err error) {
	tc.Logger = o.log.With("bus", "old")
	if from, err = o.openers.Open(ctx, old, tc); err != nil {
		return nil, nil, err
	}
	tc.Logger = o.log.With("bus", "new")
	if to, err = o.openers.Open(ctx, new, tc); err != nil {
		return nil, nil, errors.Join(err, from.Close())
	}
	return from, to, nil
}

func closeBus(bus bus, log *slog.Logger) {
	if err := bus.Close(); err != nil {
		log.Warn("closing the bus", "error", err)
	}
}

// newTopics also checks that the bus can carry the topics' names.
func newTopics(cfg Config, bus bus) (domain.Topics, error) {
	topics, err := domain.ParseTopics(cfg.Topic)
	if err != nil {
		return topics, err
	}
	systems, err := systems(cfg)
	if err != nil {
		return topics, err
	}
	for _, s := range systems {
		if err := bus.CheckTopic(topics.Topic(s)); err != nil {
			return topics, fmt.Errorf("topic: %w", err)
		}
	}
	return topics, nil
}

// servedTopics returns the topics of the systems that are served always.
func servedTopics(cfg Config) (all []string, err error) {
	topics, err := domain.ParseTopics(cfg.Topic)
	if err != nil {
		return nil, err
	}
	served, err := systems(cfg)
	for _, s := range served {
		all = append(all, topics.Topic(s))
	}
	return all, err
}

// systems returns those that are served always; with "*" there are none.
func systems(cfg Config) (all []domain.System, err error) {
	for _, name := range cfg.Systems {
		if name == "*" {
			continue
		}
		s, err := domain.ParseSystem(name)
		if err != nil {
			return nil, domain.At("systems", err)
		}
		all = append(all, s)
	}
	return all, nil
}

// newRouter's feeds begin in the past, so that a node that has just started can
// resume who was on another.
func newRouter(cfg Config, bus bus, topics domain.Topics, o options) (*router.Router, error) {
	rc := router.Config{Rules: envelope.Rules{UserField: cfg.Envelope.UserField}, Logger: o.log}
	if bus.Guarantees().Log {
		rc.Replayer = bus
	}
	return router.New(bus.BatchesSince(cfg.Window.Age), topics, rc)
}

func newHub(cfg Config, r *router.Router, bus bus) (*stream.Hub, error) {
	always, err := systems(cfg)
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
			HasLog:    bus.Guarantees().Log,
			Backlog:   stream.NewBudget(int64(cfg.Resume.Bytes)),
			MaxScan:   cfg.Resume.MaxScan,
		},
	}), nil
}

func newOutlet(cfg Config, bus bus, topics domain.Topics, o options) domain.Publisher {
	out := transport.NewEnvelopePublisher(bus, topics, int(cfg.Limits.MessageBytes))
	out.LimitInbound(transport.InboundLimits{User: int64(cfg.Limits.InboundUserBytes), System: int64(cfg.Limits.InboundBytes)}, o.log)
	return out
}

// newPublisher returns what Node.Publish uses. Nobody closes it: the bus is closed
// with the node.
func newPublisher(cfg Config, b bus) (*publisher.Publisher, error) {
	return publisher.Config{Topic: cfg.Topic, MessageBytes: int(cfg.Limits.MessageBytes)}.NewOnBus(b)
}

func newRegistry(cfg Config, hub *stream.Hub, o options) (*session.Registry, error) {
	sc := session.Config{
		Node:            cfg.Node,
		Origins:         cfg.Origins,
		ProxyHeader:     cfg.ProxyHeader,
		QueryToken:      cfg.Auth.QueryToken,
		Sessions:        cfg.Limits.Sessions,
		SessionsPerUser: cfg.Limits.SessionsPerUser,
		Drain:           cfg.Drain,
	}
	for _, p := range cfg.Proxies {
		network, err := netip.ParsePrefix(p)
		if err != nil {
			return nil, fmt.Errorf("proxies: %w", err)
		}
		sc.Proxies = append(sc.Proxies, network)
	}
	var who session.Authenticator
	switch {
	case cfg.Dev:
		sc.Tokenless = func(r *http.Request) (domain.Grant, error) {
			return auth.Dev{}.Authenticate(r.Context(), r.URL.Query().Get("user"))
		}
	case cfg.Auth.JWT.Secret == "" && cfg.Auth.JWT.PublicKey == "":
		who = auth.Nobody{}
	default:
		j, err := auth.NewJWT(cfg.Auth.JWT.auth())
		if err != nil {
			return nil, fmt.Errorf("auth.jwt: %w", err)
		}
		who = j
	}
	return session.New(hub, who, sc, o.log)
}

func newWebSockets(cfg Config, registry *session.Registry, out domain.Publisher, o options) (*ws.Server, error) {
	return ws.New(registry, out, ws.Config{
		MessageBytes: int(cfg.Limits.MessageBytes),
		OutboxBytes:  int(cfg.Limits.OutboxBytes),
		SessionRate:  session.Rate{Messages: float64(cfg.Limits.InboundRate)},
		FrameRate:    max(float64(cfg.Limits.FrameRate), 2*float64(cfg.Limits.InboundRate)),
		ControlRate:  float64(cfg.Limits.ControlRate),
		Stall:        cfg.Limits.Stall,
		Publish:      cfg.PublishTimeout,
	}, o.log)
}

func newEvents(cfg Config, registry *session.Registry) (*sse.Server, error) {
	return sse.New(registry, sse.Config{OutboxBytes: int(cfg.Limits.OutboxBytes), Stall: cfg.Limits.Stall})
}

func newAPI(cfg Config, out domain.Publisher, node *status, o options) (*api.API, error) {
	l := cfg.Limits
	ac := api.Config{
		MessageBytes: int(l.MessageBytes), Bodies: int64(l.BodyBytes), BodiesPerKey: int64(l.BodyBytesPerKey),
		AnswerTime: l.AnswerTime, BodyTime: l.BodyTime, BodyStall: l.BodyStall, Version: o.version, Logger: o.log,
	}
	if cfg.Dev {
		return api.New(out, auth.Dev{}, node, ac)
	}
	keys, err := auth.NewKeys(reveal(cfg.Auth.APIKeys)...)
	if err != nil {
		return nil, fmt.Errorf("auth.api_keys: %w", err)
	}
	return api.New(out, keys, node, ac)
}

func newNode(cfg Config, o options, bus bus, hub *stream.Hub, r *router.Router,
	registry *session.Registry, sockets *ws.Server, events *sse.Server, out *publisher.Publisher, a *api.API, st *status, show *metrics.Registry) (*Node, error) {
	g := &Node{cfg: cfg, log: o.log, bus: bus, hub: hub, router: r, registry: registry, out: out, status: st}
	public, admin := http.NewServeMux(), http.NewServeMux()
	public.Handle("/ws", sockets)
	public.Handle("/sse", events)
	a.Publishing(public)
	a.Unknown(public)
	a.Unknown(admin)
	a.HealthChecks(public)
	a.HealthChecks(admin)
	a.Admin(admin, show.Handler())
	if cfg.AdminListen == "" {
		a.Admin(public, show.Handler())
	}
	g.public, g.admin = api.NoSniff(a.Bounded(public)), api.NoSniff(a.Bounded(admin))
	if !cfg.Dev {
		return g, nil
	}
	page, err := newPage(cfg)
	if err != nil {
		return nil, err
	}
	public.Handle("GET /{$}", page)
	g.public, g.admin = api.NoSniff(a.Bounded(api.DevGuard(public))), api.NoSniff(a.Bounded(api.DevGuard(admin)))
	return g, nil
}

func newPage(cfg Config) (*devpage.Page, error) {
	pc := devpage.Config{Systems: cfg.Systems, Topic: cfg.Topic, Transport: cfg.Transport}
	if cfg.AdminListen == "" {
		pc.Docs = "/docs"
	}
	return devpage.New(pc)
}
