package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// The defaults of [CallbackConfig].
const (
	DefaultCallbackTimeout     = 3 * time.Second
	DefaultCallbackConcurrency = 64
)

// DefaultCallbackHeaders are the headers that an endpoint is sent.
func DefaultCallbackHeaders() []string {
	return []string{"Authorization", "Origin", "User-Agent"}
}

const (
	maxGrantAnswer = 64 << 10 // bytes of an endpoint's answer, and of its header
	callbackIdle   = time.Minute
)

// A CallbackConfig says whom a [Callback] asks. URL must be set.
type CallbackConfig struct {
	URL         string        // of the endpoint, http or https
	Timeout     time.Duration // for one question, waiting included; 0: DefaultCallbackTimeout
	Concurrency int           // most questions at a time; 0: DefaultCallbackConcurrency
	// Headers are the names of the headers that the endpoint is sent, beside the cookies.
	// Empty: DefaultCallbackHeaders.
	Headers []string
	// Secret is sent as "Authorization: Bearer …", so that the endpoint knows that a node
	// asks. Empty: nothing is sent.
	Secret string
	// Cache is how many bytes are taken, about, to remember grants. 0: DefaultCache.
	Cache int
}

func (cfg CallbackConfig) withDefaults() CallbackConfig {
	defaults.SetZero(&cfg.Timeout, DefaultCallbackTimeout)
	defaults.SetZero(&cfg.Concurrency, DefaultCallbackConcurrency)
	defaults.SetZero(&cfg.Cache, DefaultCache)
	if len(cfg.Headers) == 0 {
		cfg.Headers = DefaultCallbackHeaders()
	}
	return cfg
}

// Validate returns everything that is wrong with the settings. Zero values stand for the
// defaults.
func (cfg CallbackConfig) Validate() error {
	var faults []error
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Fragment != "":
		faults = append(faults, errors.New("url: want http:// or https://, and a host"))
	case u.User != nil:
		faults = append(faults, errors.New("url: there is a user in it: "+
			"the endpoint knows the node by secret"))
	}
	if cfg.Timeout < 0 || cfg.Concurrency < 0 || cfg.Cache < 0 {
		faults = append(faults, errors.New("timeout, concurrency and cache must not be negative"))
	}
	for _, name := range cfg.Headers {
		switch name = http.CanonicalHeaderKey(name); {
		case name == "Cookie":
			faults = append(faults, errors.New("headers: cookies are sent anyway: leave Cookie out"))
		case strings.ContainsFunc(name, notInHeaderName) || name == "":
			faults = append(faults, fmt.Errorf("headers: %.40q is no header's name", name))
		}
	}
	if strings.ContainsFunc(cfg.Secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		faults = append(faults, errors.New("secret: want printable ASCII without spaces"))
	}
	return errors.Join(faults...)
}

func notInHeaderName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

// A Callback asks an HTTP endpoint of the application who a client is. It is safe for
// concurrent use.
//
// The number of questions at a time is bounded, and so is how many clients wait for one. An
// endpoint that fails again and again is left alone for a moment, in which clients are told
// at once to come again. Redirects are not followed. What an endpoint grants is remembered
// for as long as it says, for requests with the same credentials.
type Callback struct {
	cfg    CallbackConfig
	client *http.Client
	gate   *gate
	grants *grants
	now    func() time.Time
}

// NewCallback returns a Callback. It starts nothing.
func NewCallback(cfg CallbackConfig) (*Callback, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Callback{
		cfg: cfg, gate: newGate(cfg.Concurrency), grants: newGrants(cfg.Cache), now: time.Now,
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
				TLSHandshakeTimeout:    cfg.Timeout,
				ForceAttemptHTTP2:      true,
				MaxIdleConnsPerHost:    cfg.Concurrency,
				IdleConnTimeout:        callbackIdle,
				MaxResponseHeaderBytes: maxGrantAnswer,
				DisableCompression:     true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close closes the connections that no question uses.
func (c *Callback) Close() { c.client.CloseIdleConnections() }

// A question is what an endpoint is sent. Its members are a part of what
// docs/protocol.md promises.
type question struct {
	Path    string              `json:"path"`
	Address string              `json:"remote_addr,omitempty"`
	Cookies map[string][]string `json:"cookies"`
	Headers map[string][]string `json:"headers"`
	Query   map[string][]string `json:"query"`
	Token   string              `json:"token,omitempty"`
}

// Login returns what the endpoint grants the client of a request whose port has found the
// token, which may be "". An error that is neither an [domain.ErrUnauthenticated] nor an
// [domain.ErrForbidden] means that the endpoint has not said it.
func (c *Callback) Login(r *http.Request, from netip.Addr, token string) (domain.Grant, error) {
	q := c.question(r, from, token)
	id, known := q.credentials()
	if known {
		if g, ok := c.grants.find(id, c.now()); ok {
			return g, nil
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), c.cfg.Timeout)
	defer cancel()
	if err := c.gate.enter(ctx, c.now); err != nil {
		return domain.Grant{}, fmt.Errorf("auth.callback: %w", c.late(err))
	}
	asked := c.now()
	a, how, err := c.ask(ctx, q)
	if how == bad && errors.Is(r.Context().Err(), context.Canceled) {
		how = unknown // the client has gone
	}
	c.gate.leave(how, c.now())
	if err != nil {
		return domain.Grant{}, err
	}
	if a.grant.Issued.IsZero() {
		a.grant.Issued = asked
	}
	if known && a.cache > 0 && a.grant.Check() == nil {
		until := asked.Add(a.cache)
		if e := a.grant.Expires; !e.IsZero() && e.Before(until) {
			until = e
		}
		c.grants.add(id, a.grant, until, asked)
	}
	return a.grant, nil
}

func (c *Callback) question(r *http.Request, from netip.Addr, token string) question {
	q := question{
		Path: r.URL.Path, Query: r.URL.Query(), Token: token,
		Cookies: map[string][]string{}, Headers: map[string][]string{},
	}
	if from.IsValid() {
		q.Address = from.String()
	}
	for _, cookie := range r.Cookies() {
		q.Cookies[cookie.Name] = append(q.Cookies[cookie.Name], cookie.Value)
	}
	for _, name := range c.cfg.Headers {
		if values := r.Header.Values(name); len(values) > 0 {
			q.Headers[http.CanonicalHeaderKey(name)] = values
		}
	}
	return q
}

// noCredentials begin the names of headers that prove nothing.
var noCredentials = []string{"Accept", "Forwarded", "Origin", "Referer", "Sec-", "User-Agent",
	"X-Forwarded-", "X-Real-Ip", "X-Request-Id"}

// credentials returns what a grant is remembered by: cookies, headers, the token, and those
// parameters of the query that the node has no use for. It returns false if there is nothing
// in them that could prove who the client is.
func (q *question) credentials() (id [sha256.Size]byte, known bool) {
	own := question{Cookies: q.Cookies, Headers: q.Headers, Token: q.Token, Query: map[string][]string{}}
	for name, values := range q.Query {
		if name == "token" || strings.HasPrefix(name, "_") {
			own.Query[name] = values
		}
	}
	known = q.Token != "" || len(q.Cookies) > 0 || len(own.Query) > 0
	for name := range q.Headers {
		known = known || !slices.ContainsFunc(noCredentials, func(start string) bool {
			return strings.HasPrefix(name, start)
		})
	}
	text, err := json.Marshal(own)
	return sha256.Sum256(text), known && err == nil
}

// late says of an error which setting has ended the wait, if one did.
func (c *Callback) late(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("no answer within %v (auth.callback.timeout): %w", c.cfg.Timeout, err)
}

// ask sends the question, and returns how that went beside what was answered.
func (c *Callback) ask(
	ctx context.Context, q question,
) (a grantAnswer, how outcome, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return a, unknown, fmt.Errorf("auth.callback: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return a, unknown, fmt.Errorf("auth.callback: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "fanfare")
	if c.cfg.Secret != "" {
		r.Header.Set("Authorization", "Bearer "+c.cfg.Secret)
	}
	w, err := c.client.Do(r)
	if err != nil {
		var where *url.Error // which has the URL, with whatever is in it
		if errors.As(err, &where) {
			err = where.Err
		}
		return a, bad, fmt.Errorf("auth.callback: %w", c.late(err))
	}
	defer w.Body.Close()
	text, err := io.ReadAll(io.LimitReader(w.Body, maxGrantAnswer+1))
	if err != nil || slices.Contains(outOfService, w.StatusCode) {
		how = bad
	}
	a, err = read(w.StatusCode, text, c.late(err))
	return a, how, err
}

// outOfService are the statuses that say nothing of the question. Any other one is an answer
// to it, even if it means nothing here, as 400 for a cookie that is damaged: a client that
// can have the endpoint answer so must not keep all others out.
var outOfService = []int{http.StatusTooManyRequests, http.StatusBadGateway,
	http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// read reads an answer, of which failed says that it could not be had in full.
func read(status int, text []byte, failed error) (a grantAnswer, err error) {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return a, parseRefusal(text, status == http.StatusForbidden)
	case status != http.StatusOK:
		return a, fmt.Errorf("auth.callback: it answered %d; want 200, 401 or 403", status)
	case failed != nil:
		return a, fmt.Errorf("auth.callback: reading its answer: %w", failed)
	case len(text) > maxGrantAnswer:
		return a, fmt.Errorf("auth.callback: its answer has more than %d bytes", maxGrantAnswer)
	}
	return parseGrant(text)
}
