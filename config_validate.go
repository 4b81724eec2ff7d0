package fanfare

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

// Validate returns everything that is wrong with the settings as one error, a
// line for each fault, with the setting's name and what to do. It returns nil if
// nothing is wrong. A zero field counts as its default. Validate does not look at
// the bus.
func (c Config) Validate() error { return c.validate(false) }

// validate is Validate for a node whose program says who clients are, if withLogin is set.
func (c Config) validate(withLogin bool) error {
	c = c.withDefaults()
	return errors.Join(slices.Concat(
		c.checkNames(), c.checkAddresses(), c.checkAuth(withLogin), c.checkBounds(), c.checkControl(),
		c.checkLog(), c.checkWebhooks())...)
}

func (c Config) checkNames() (faults []error) {
	for _, s := range c.Systems {
		if s == "*" {
			if len(c.Systems) > 1 {
				faults = append(faults,
					fault("systems", `"*" stands alone: name the systems, or only "*"`))
			}
			continue
		}
		if _, err := domain.ParseSystem(s); err != nil {
			faults = append(faults, fault("systems", "%v", err))
		}
	}
	if err := domain.CheckUser(c.Node); err != nil {
		faults = append(faults, fault("node", "%v", err))
	}
	if _, err := domain.ParseTopics(c.Topic); err != nil {
		faults = append(faults, fault("topic",
			"template %s must hold {system} exactly once, as in fanfare.{system}", shown(c.Topic)))
	}
	return faults
}

// checkControl checks the settings of the control plane, presence and events.
func (c Config) checkControl() (faults []error) {
	if beat, dead := c.Control.Heartbeat, c.Control.DeadAfter; beat > 0 && dead > 0 && dead < 2*beat {
		faults = append(faults, fault("control.dead_after",
			"%v would declare nodes dead that are well: want at least %v, twice control.heartbeat",
			dead, 2*beat))
	}
	kept := c.Presence.Systems
	for _, s := range kept {
		if s == "*" && len(kept) == 1 {
			continue
		}
		if s == "*" {
			faults = append(faults,
				fault("presence.systems", `"*" stands alone: name the systems, or only "*"`))
		} else if _, err := domain.ParseSystem(s); err != nil {
			faults = append(faults, fault("presence.systems", "%v", err))
		} else if !slices.Contains(c.Systems, "*") && !slices.Contains(c.Systems, s) {
			faults = append(faults, fault("presence.systems", "%q is not served: it is not among systems", s))
		}
	}
	for _, s := range c.Events {
		_, err := domain.ParseSystem(s)
		switch {
		case s == "*":
			faults = append(faults, fault("events",
				`name the systems: each has a topic of its own, which "*" would let clients make`))
		case err != nil:
			faults = append(faults, fault("events", "%v", err))
		case !slices.Contains(kept, "*") && !slices.Contains(kept, s):
			faults = append(faults, fault("events",
				"%q has no presence, and events say who is present: add it to presence.systems", s))
		}
	}
	if c.Control.Disabled && len(kept)+len(c.Events) > 0 {
		faults = append(faults, fault("control.disabled",
			"presence.systems and events need what nodes tell each other: leave them empty, "+
				"or control.disabled out"))
	}
	return faults
}

func (c Config) checkAddresses() []error {
	faults := c.checkListen("listen", c.Listen)
	faults = append(faults, c.checkListen("admin_listen", c.AdminListen)...)
	anyPort := strings.HasSuffix(c.Listen, ":0")
	if c.AdminListen != "" && c.AdminListen == c.Listen && !anyPort {
		faults = append(faults, fault("admin_listen",
			"is the same as listen: choose another port, "+
				"or leave it empty to have everything on listen"))
	}
	if c.Admin.Pprof && c.AdminListen == "" {
		faults = append(faults, fault("admin.pprof", "profiles show what is in the node's memory, "+
			"so they are not served where clients are: set admin_listen, too"))
	}
	for _, o := range c.Origins {
		if err := session.CheckOrigin(o); err != nil {
			faults = append(faults,
				badItem("origins", c.Origins, o, fmt.Sprintf("is no origin: %v", err)))
		}
	}
	faults = append(faults, c.checkProxies()...)
	if err := session.CheckProxyHeader(c.ProxyHeader); err != nil {
		faults = append(faults, fault("proxy_header", "%v", err))
	}
	return faults
}

// checkListen checks one of the addresses to listen on; an empty one is none.
func (c Config) checkListen(key, address string) []error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	switch {
	case err != nil:
		return []error{fault(key, "%s is no address: want host:port with a port of at most 65535, "+
			"such as 127.0.0.1:8080 or :8080", shown(address))}
	case c.Dev && !loopback(host):
		return []error{fault(key, "development mode lets everybody in, so it listens "+
			"on this machine only: use 127.0.0.1, or serve with auth")}
	}
	return nil
}

func (c Config) checkProxies() (faults []error) {
	for _, p := range c.Proxies {
		network, err := netip.ParsePrefix(p)
		switch {
		case err != nil:
			faults = append(faults, badItem("proxies", c.Proxies, p,
				"is no network: want address/bits, such as 10.0.0.0/8 or 192.168.1.7/32"))
		case network.Addr().Is4In6():
			faults = append(faults, fault("proxies",
				"%q would match nothing: write it as an IPv4 network, such as 10.0.0.0/8", p))
		}
	}
	return faults
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkAuth checks whom the node believes. With a login of the program's own it needs
// nothing else.
func (c Config) checkAuth(withLogin bool) (faults []error) {
	j := c.Auth.JWT
	if j.Leeway < 0 || j.Leeway > auth.MaxLeeway {
		faults = append(faults, fault("auth.jwt.leeway",
			"want more than 0 and at most %v, got %v", auth.MaxLeeway, j.Leeway))
		j.Leeway = 0 // so that NewJWT below does not complain about it again
	}
	j.JWKSRefresh, j.JWKSTimeout = max(j.JWKSRefresh, 0), max(j.JWKSTimeout, 0) // checkBounds says it
	switch {
	case j.configured():
		if _, err := auth.NewJWT(j.auth()); err != nil {
			faults = append(faults, fault("auth.jwt", "%v", err))
		}
	case len(c.Auth.APIKeys) == 0 && !c.Dev && !withLogin && c.Auth.Callback.URL == "":
		faults = append(faults, fault("auth", "nothing is configured, and a node does not start "+
			"unprotected: set auth.jwt.secret (or auth.jwt.secret_file; in Go, Config.Auth.JWT.Secret) "+
			"to at least 32 random bytes, or auth.jwt.discovery and auth.jwt.issuer for the tokens "+
			"of a login service, or auth.callback.url to be asked who clients are, or try things out "+
			"with `fanfare dev` (in Go, Config.Dev; or WithAuthenticator)"))
	}
	if c.Auth.Callback.URL != "" {
		if err := c.Auth.Callback.auth().Validate(); err != nil {
			faults = append(faults, fault("auth.callback", "%v", err))
		}
		if withLogin {
			faults = append(faults, fault("auth.callback", "the program says who clients are "+
				"(WithAuthenticator), so nobody would be asked: keep one"))
		}
	}
	if _, err := auth.NewKeys(reveal(c.Auth.APIKeys)...); err != nil {
		faults = append(faults, fault("auth.api_keys", "%v", err))
	}
	return faults
}

// configured reports whether any key of tokens is, be it as it should or not.
func (j JWTConfig) configured() bool {
	return j.Secret != "" || j.PreviousSecret != "" || j.PublicKey != "" || j.JWKSURL != "" || j.Discovery
}

// auth returns the settings as the auth adapter takes them.
func (c CallbackConfig) auth() auth.CallbackConfig {
	return auth.CallbackConfig{
		URL: c.URL, Headers: c.Headers, Secret: string(c.Secret),
		Timeout: max(c.Timeout, 0), Concurrency: max(c.Concurrency, 0), // checkBounds says it
	}
}

// auth returns the settings as the auth adapter takes them.
func (j JWTConfig) auth() auth.JWTConfig {
	return auth.JWTConfig{
		Secret:         string(j.Secret),
		PreviousSecret: string(j.PreviousSecret),
		PublicKey:      j.PublicKey,
		JWKSURL:        j.JWKSURL,
		Discovery:      j.Discovery,
		JWKSRefresh:    j.JWKSRefresh,
		JWKSTimeout:    j.JWKSTimeout,
		Issuer:         j.Issuer,
		Audience:       j.Audience,
		Claims:         auth.Claims(j.Claims),
		Default:        auth.Defaults(j.Default),
		Leeway:         j.Leeway,
		Cache:          int(max(j.Cache, 0)), // checkBounds says that it must not be negative
	}
}

// checkAuthBounds checks the numbers in the settings of auth.
func (c Config) checkAuthBounds() (faults []error) {
	for _, b := range c.bounds() {
		if err := b.fault(); err != nil && strings.HasPrefix(b.key, "auth.") {
			faults = append(faults, err)
		}
	}
	return faults
}

func (c Config) checkBounds() (faults []error) {
	l := c.Limits
	for _, b := range c.bounds() {
		if err := b.fault(); err != nil {
			faults = append(faults, err)
		}
	}
	if l.OutboxBytes >= 0 && l.OutboxBytes/2 < l.MessageBytes {
		faults = append(faults, fault("limits.outbox_bytes",
			"%v is too small to hold a message of %v and its envelope: want at least %v",
			l.OutboxBytes, l.MessageBytes, 2*l.MessageBytes))
	}
	if c.Window.Bytes >= 0 && c.Window.Bytes/2 < l.MessageBytes {
		faults = append(faults, fault("window.bytes",
			"%v is too small for messages of up to %v: want at least %v",
			c.Window.Bytes, l.MessageBytes, 2*l.MessageBytes))
	}
	return faults
}

func (c Config) checkLog() (faults []error) {
	for _, choice := range []struct {
		key, value string
		all        []string
	}{
		{"log.level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log.format", c.Log.Format, []string{"text", "json"}},
	} {
		if !slices.Contains(choice.all, choice.value) {
			faults = append(faults, fault(choice.key, "%s is none: use %s",
				shown(choice.value), strings.Join(choice.all, ", ")))
		}
	}
	return faults
}

// badItem is a fault of one item of a list. The item is not shown if any item
// looks like a part of a URL: the list may be a URL whose password has a comma in
// it, and was put in the wrong place.
func badItem(key string, all []string, item, problem string) error {
	if slices.ContainsFunc(all, func(s string) bool { return !showable(s) }) {
		return fault(key,
			"one of them cannot be read, and looks like a URL with something secret in it")
	}
	return fault(key, "%q %s", item, problem)
}

// shown quotes a value, unless it looks like a URL with a user or parameters:
// then a URL, with a secret in it, was put in the wrong place.
func shown(value string) string {
	if !showable(value) {
		return "what is there"
	}
	return strconv.Quote(value)
}

func showable(value string) bool { return !strings.ContainsAny(value, "@?=#") }

// fault is something wrong with the setting of that name.
func fault(key, format string, args ...any) error {
	return fmt.Errorf(key+": "+format, args...)
}
