package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// Bounds of what an issuer can make a node do.
const (
	maxAnswer    = 512 << 10 // bytes of one answer
	maxRedirects = 3
)

// A fetcher fetches sets of keys.
type fetcher struct {
	client  *http.Client
	timeout time.Duration
}

func newFetcher(timeout time.Duration) fetcher {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // the next fetch is minutes away
	transport.MaxResponseHeaderBytes = 64 << 10
	return fetcher{&http.Client{Transport: transport, CheckRedirect: checkRedirect}, timeout}
}

// checkRedirect follows few redirects, and none that gives up TLS.
func checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
		return errors.New("a redirect away from https")
	}
	return nil
}

// keys fetches the set of keys. With discovery it asks first where they are.
func (f fetcher) keys(ctx context.Context, p issuerURL) (keys []*key, ignored []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	at := p.url
	if p.discovery {
		if at, err = f.discover(ctx, p); err != nil {
			return nil, nil, fmt.Errorf("discovery: %w", err)
		}
	}
	text, err := f.get(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	return parseKeySet(text)
}

// discover returns where the issuer says that its keys are
// ([OpenID Connect Discovery §4]).
//
// [OpenID Connect Discovery §4]: https://openid.net/specs/openid-connect-discovery-1_0.html
func (f fetcher) discover(ctx context.Context, p issuerURL) (string, error) {
	text, err := f.get(ctx, p.url)
	if err != nil {
		return "", err
	}
	issuer, at, err := parseDiscovery(text)
	if err != nil {
		return "", err
	}
	keys := issuerURL{url: at}
	switch err := keys.check(); {
	case issuer != p.issuer:
		return "", fmt.Errorf("the issuer calls itself %.200q, and auth.jwt.issuer is %q", issuer, p.issuer)
	case err != nil:
		return "", fmt.Errorf("its jwks_uri: %w", err)
	case strings.HasPrefix(p.url, "https:") && !strings.HasPrefix(at, "https:"):
		return "", errors.New("its jwks_uri gives up https")
	}
	return at, nil
}

// parseDiscovery reads what an issuer says of itself.
func parseDiscovery(text []byte) (issuer, keys string, err error) {
	err = jsontext.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "issuer":
			issuer, err = jsontext.String(value)
		case "jwks_uri":
			keys, err = jsontext.String(value)
		}
		return err
	})
	if err != nil || issuer == "" || keys == "" {
		return "", "", errors.New("the answer is no JSON object with an issuer and a jwks_uri")
	}
	return issuer, keys, nil
}

// get returns the body of an answer. Its errors hold no parameters of the URL.
func (f fetcher) get(ctx context.Context, at string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, errors.New("the URL cannot be read")
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	r.Header.Set("User-Agent", "fanfare")
	answer, err := f.client.Do(r)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("%s: %w", r.URL.Host, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers with status %d", r.URL.Host, answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", r.URL.Host, err)
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("%s answers with more than %d bytes", r.URL.Host, maxAnswer)
	}
	return text, nil
}

// discoveryURL returns where an issuer describes itself.
func discoveryURL(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// check returns what is wrong with the URL.
func (p issuerURL) check() error {
	if p.discovery && p.issuer == "" {
		return errors.New("discovery asks the issuer: set issuer, too")
	}
	u, err := url.Parse(p.url)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return errors.New("where the keys are is no URL: want such as https://login.example.com/jwks")
	case u.User != nil:
		return errors.New("the URL of the keys has a user in it: keys are public, and asked for without")
	case u.Fragment != "":
		return errors.New("the URL of the keys has a fragment (#)")
	}
	return nil
}

// plain reports whether the issuer is asked without TLS, and is not on this machine.
func (p issuerURL) plain() bool {
	u, err := url.Parse(p.url)
	if err != nil || u.Scheme == "https" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

// shown is the URL for the log, without parameters.
func (p issuerURL) shown() string {
	at, _, _ := strings.Cut(p.url, "?")
	return at
}
