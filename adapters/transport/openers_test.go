package transport_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
)

// tattling is an opener whose errors show all it was given, in many ways.
func tattling(_ context.Context, u *url.URL, _ *slog.Logger) (transport.Driver, error) {
	password, _ := u.User.Password()
	return nil, fmt.Errorf("dial %s as %v with %s %q and %v: %w", u, u.User, password, password, u.Query(), domain.ErrForbidden)
}

func TestOpenShowsNoPassword(t *testing.T) {
	openers := transport.Openers{"redis": tattling}
	for _, raw := range []string{
		"redis://user:hunter2@host:6379/0",
		"redis://:hunter2@host:6379/0",
		"redis://user:hunter2%2F%22%40%20@host:6379/0",
		"redis://user:hunter2/x@host:6379/0",
		"redis://user:1hunter2@host:port/0",
		"redis://:1/hunter2@host:6379/0",
		"redis://:1?hunter2@host:6379/0",
		"redis://:1#hunter2@host:6379/0",
		"redis://user:hunter2%zz@host",
		"redis://host?password=hunter2",
		"redis://host?sentinel_password=hunter2%20%2B",
		"redis:user:hunter2@host",
		"redsi://user:hunter2@host",
		"redsi://host?password=hunter2",
		"://user:hunter2@host",
		"user:hunter2@host",
		"\x7fredis://user:hunter2@host",
	} {
		_, err := openers.Open(t.Context(), raw, transport.Config{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestRedactedErrorsKeepTheirChain(t *testing.T) {
	_, err := transport.Openers{"redis": tattling}.Open(t.Context(), "redis://:hunter2@host", transport.Config{})
	if !errors.Is(err, domain.ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

func TestOpenReadsWell(t *testing.T) {
	openers := transport.Openers{
		"redis": func(_ context.Context, u *url.URL, _ *slog.Logger) (transport.Driver, error) {
			p := dsn.NewParams(u)
			p.Duration("retention", time.Hour, time.Second)
			p.Bool("tls", false)
			return &fakeDriver{}, p.Err()
		},
		"plain": func(_ context.Context, u *url.URL, _ *slog.Logger) (transport.Driver, error) {
			return &fakeDriver{}, dsn.NewParams(u).Err()
		},
	}
	for _, tc := range []struct{ url, want string }{
		{"kafka://host:9092", `transport: unknown scheme "kafka": use one of plain://, redis://`},
		{"", `transport: the URL is empty: use one of plain://, redis://`},
		{" ", `transport: the URL is empty: use one of plain://, redis://`},
		{"host", `transport: unknown scheme "": use one of plain://, redis://`},
		{"redis://h:1/0?retension=1h", `transport redis://h:1/0: unknown parameter "retension": use retention, tls`},
		{"redis://h?retention=1&tls=perhaps", "transport redis://h: retention=1: want a duration of at least 1s, such as 1h0m0s\ntls=perhaps: want true or false"},
		{"plain://h?x=1", `transport plain://h: unknown parameter "x": this transport takes none`},
		{"redis://h:port/0", "transport: the URL cannot be read: want one of plain://, redis:// followed by host:port/…, with special characters in passwords and parameters escaped as %XX"},
	} {
		if _, err := openers.Open(t.Context(), tc.url, transport.Config{}); err == nil || err.Error() != tc.want {
			t.Errorf("%s:\n got %v\nwant %s", tc.url, err, tc.want)
		}
	}
	bus, err := openers.Open(t.Context(), "redis://h?retention=2h&tls=true", transport.Config{})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, bus)
}

func FuzzOpenShowsNoPassword(f *testing.F) {
	f.Add("redis", "user", "/a?b#c@d", "/0", "x=1")
	f.Add("redis", "", "%41", "", "password=")
	f.Add("redsi", "user", "plain", "", "")
	f.Fuzz(func(t *testing.T, scheme, user, password, path, query string) {
		const mark = "hunter2"
		raw := scheme + "://" + user + ":" + mark + password + "@host:6379" + path + "?" + query
		bus, err := transport.Openers{"redis": tattling}.Open(t.Context(), raw, transport.Config{})
		if err == nil {
			mustClose(t, bus)
			t.Fatalf("%q was opened", raw)
		}
		if strings.Contains(scheme+user+path+query, mark) {
			t.Skip("the mark is elsewhere, too")
		}
		if strings.Contains(err.Error(), mark) {
			t.Errorf("%q: %v", raw, err)
		}
	})
}

// The end of a secret behind an & that was not escaped looks like a parameter.
func TestAnErrorHidesWhatMayBeTheEndOfASecret(t *testing.T) {
	open := func(_ context.Context, u *url.URL, _ *slog.Logger) (transport.Driver, error) {
		p := dsn.NewParams(u)
		p.String("token", "")
		return nil, p.Err()
	}
	for query, want := range map[string]string{
		"token=one&hunter2": `unknown parameter "xxxxx"`,
		"tls&token=one":     `unknown parameter "tls"`,
	} {
		_, err := transport.Openers{"nats": open}.Open(t.Context(), "nats://a?"+query, transport.Config{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", query, err)
		}
	}
}
