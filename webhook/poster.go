package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/subscriber"
)

// A poster delivers to one endpoint.
type poster struct {
	Endpoint
	cfg    Config
	keys   []*standardwebhooks.Webhook
	client *http.Client
	bus    []subscriber.Bus
	slots  chan struct{} // holds a token for each request that runs

	delivered, failed, dropped atomic.Int64
	gone                       atomic.Bool
}

func newPoster(e Endpoint, buses []subscriber.Bus, cfg Config) (*poster, error) {
	p := &poster{Endpoint: e, cfg: cfg, bus: buses, slots: make(chan struct{}, cfg.Concurrency)}
	for _, s := range e.Secrets {
		key, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			return nil, errors.New("secret: is no base64") // the error might show it
		}
		p.keys = append(p.keys, key)
	}
	rt := cfg.Transport
	if rt == nil {
		rt = newTransport(e.Timeout, cfg.Concurrency)
	}
	p.client = &http.Client{
		Transport:     rt,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p, nil
}

// newTransport makes what sends the requests. It is not the program's [http.DefaultTransport],
// which may be anything.
func newTransport(timeout time.Duration, concurrency int) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
		TLSHandshakeTimeout:    timeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    concurrency,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxAnswer,
		DisableCompression:     true,
	}
}

// run delivers until ctx ends or the endpoint is gone.
func (p *poster) run(ctx context.Context) error {
	if p.gone.Load() {
		return nil
	}
	defer p.client.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all []*subscriber.Subscriber
	for _, bus := range p.bus {
		s, err := subscriber.NewOnBus(bus, p.group(), subscriber.Config{
			Topic: p.cfg.Topic, InFlight: p.cfg.InFlight, Concurrency: p.cfg.Concurrency,
			Logger: p.cfg.Logger.With("endpoint", p.Name),
		})
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		all = append(all, s)
	}
	work, running := errgroup.WithContext(ctx)
	for _, s := range all {
		if p.Inbound {
			work.Go(func() error {
				return s.Inbound(running, func(ctx context.Context, m *subscriber.Message) error {
					d := delivery{
						id:          deliveryID("msg", m.System, m.User, m.ID),
						contentType: "application/json", body: m.JSON(),
					}
					return p.deliver(ctx, cancel, d, m.Time, m.Attempt)
				}, p.Systems...)
			})
		}
		if p.Events {
			work.Go(func() error {
				return s.Events(running, func(ctx context.Context, e *subscriber.Event) error {
					d := delivery{
						id:          deliveryID("evt", e.System, e.Source, e.ID),
						contentType: subscriber.CloudEventMediaType, body: e.CloudEvent(),
					}
					return p.deliver(ctx, cancel, d, e.Time, e.Attempt)
				}, p.Systems...)
			})
		}
	}
	return work.Wait()
}

// deliver makes an attempt, when one may run. It returns nil if the delivery is done, be it
// dropped.
func (p *poster) deliver(
	ctx context.Context, end context.CancelCauseFunc, d delivery, at time.Time, attempt int,
) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.gone.Load() {
		return errGone
	}
	if age := time.Since(at); !at.IsZero() && age > p.MaxAge {
		p.dropped.Add(1)
		p.cfg.Logger.Error("a webhook's delivery is too old and was dropped",
			"endpoint", p.Name, "id", d.id, "age", age.Round(time.Second), "attempts", attempt-1)
		return nil
	}
	err := p.post(ctx, d)
	switch {
	case err == nil:
		p.delivered.Add(1)
		return nil
	case ctx.Err() != nil:
		return err
	case errors.Is(err, errGone):
		if !p.gone.Swap(true) {
			p.cfg.Logger.Error("a webhook's endpoint answered 410 Gone: "+
				"it gets nothing more until this process is started again", "endpoint", p.Name)
		}
		end(errGone)
		return err
	}
	p.failed.Add(1)
	after := fullJitter(attempt, p.cfg.RetryMin, p.cfg.RetryMax)
	var s *statusError
	if errors.As(err, &s) {
		after += s.after
	}
	return &subscriber.RetryError{Err: err, After: after}
}
