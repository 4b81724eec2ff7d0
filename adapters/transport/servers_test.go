package transport_test

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

// opened returns the URL as an opener gets it.
func opened(t testing.TB, raw string) (got *url.URL, err error) {
	t.Helper()
	open := func(_ context.Context, u *url.URL, _ *slog.Logger) (transport.Driver, error) {
		got = u
		return &fakeDriver{}, nil
	}
	bus, err := transport.Openers{"nats": open, "kafka": open, "redis": open, "tls": open}.Open(t.Context(), raw, transport.Config{})
	if err == nil {
		_ = bus.Close()
	}
	return got, err
}

func TestAURLNamesOneServerOrMany(t *testing.T) {
	for raw, want := range map[string]string{
		"nats://a":                                   "nats://a",
		"nats://a,b":                                 "nats://a,b",
		"nats://a:1,b:2":                             "nats://a:1,b:2",
		"nats://a,nats://b":                          "nats://a,b",
		"nats://a:1, nats://b:2 ,nats://c":           "nats://a:1,b:2,c",
		"nats://a/,nats://b/":                        "nats://a,b/",
		"nats://u:p@a,nats://u:p@b":                  "nats://u:p@a,b",
		"nats://u:p@a,b":                             "nats://u:p@a,b",
		"nats://u:p@a:1,b:2":                         "nats://u:p@a:1,b:2",
		"nats://u:p@a,nats://b:2":                    "nats://u:p@a,b:2",
		"nats://u:p@a,u:p@b":                         "nats://u:p@a,b",
		"nats://a,tls://b":                           "nats://a,b?tls=true",
		"tls://a:1":                                  "tls://a:1?tls=true",
		"tls://a,tls://b?reply_timeout=1s":           "tls://a,b?reply_timeout=1s&tls=true",
		"tls://a?tls=false":                          "tls://a?tls=false",
		"nats://[::1]:4222,nats://[fe80::1]":         "nats://[::1]:4222,[fe80::1]",
		"kafka://a:9092,b:9092?tls=true":             "kafka://a:9092,b:9092?tls=true",
		"kafka://kafka1.example:9092,kafka://k2:9":   "kafka://kafka1.example:9092,k2:9",
		"redis://:pa,ss@h:6379/0":                    "redis://:pa,ss@h:6379/0",
		"redis://u:pa,ss@h":                          "redis://u:pa,ss@h",
		"redis://h/0,1":                              "redis://h/0,1",
		"redis://s1:26379,s2:26379/0?sentinel=m&x=,": "redis://s1:26379,s2:26379/0?sentinel=m&x=,",
	} {
		u, err := opened(t, raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if got := u.Scheme + "://" + user(u) + u.Host + u.Path + query(u); got != want {
			t.Errorf("%s:\n got %s\nwant %s", raw, got, want)
		}
	}
}

func user(u *url.URL) string {
	if u.User == nil {
		return ""
	}
	return u.User.String() + "@"
}

func query(u *url.URL) string {
	if u.RawQuery == "" {
		return ""
	}
	return "?" + u.RawQuery
}

func TestAListThatContradictsItselfIsRefused(t *testing.T) {
	for raw, want := range map[string]string{
		"nats://a,kafka://b":             "same scheme",
		"nats://u:p@a,nats://v:p@b":      "same user",
		"nats://u:hunter2@a,u:hunter3@b": "same user",
		"nats://a,nats://u:hunter2@b":    "same user",
		"nats://a/x,nats://b":            "path",
		"nats://a:port,nats://b":         "cannot be read",
		"nats://a,nats://b:port":         "cannot be read",
		"nats://a,nats://[::1":           "cannot be read",
		"nats://a,nats://b/x@y":          "same user",
		"nats://a?token=hun#hunter2":     "%23",
	} {
		_, err := opened(t, raw)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v, want something about %q", raw, err, want)
		}
	}
}

func TestRedactHidesEachSecretOfAList(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                      "",
		"fanfare.{system}":                      "fanfare.{system}",
		"a@b":                                   "a@b",
		"memory://":                             "memory://",
		"nats://a,nats://b":                     "nats://a,nats://b",
		"nats://u:hunter2@a,b":                  "nats://u:xxxxx@a,b",
		"nats://hunter2@a":                      "nats://xxxxx@a",
		"redis://:hunter2@h/0":                  "redis://:xxxxx@h/0",
		"nats://u:hunter2@a,nats://v:hunter3@b": "nats://u:xxxxx@a,nats://v:xxxxx@b",
		"nats://a, tls://u:hunter2@b":           "nats://a, tls://u:xxxxx@b",
		"nats://u:hunter2@a,u:hunter2@b":        "nats://xxxxx,xxxxx@b",
		"redis://:hun,ter2@h":                   "redis://xxxxx,xxxxx@h",
		"redis://:hun,ter,2@h":                  "redis://xxxxx,xxxxx,xxxxx@h",
		"redis://u:hunter2%zz@h:port?password=%zz":         "redis://u:xxxxx@h:port?password=xxxxx",
		"redis://u:hun/ter2@h":                             "redis://u:xxxxx@h",
		"redis://u:hun?ter2@h":                             "redis://xxxxx",
		"redis://u:hun#ter2@h":                             "redis://xxxxx",
		"nats://a?token=hunter2&tls=true":                  "nats://a?token=xxxxx&tls=true",
		"nats://a?TOKEN=hunter2;sentinel_password=hunter2": "nats://a?TOKEN=xxxxx&sentinel_password=xxxxx",
		"nats://a?t%6fken=hunter2":                         "nats://a?t%6fken=xxxxx",
		"nats://a?%zz=hunter2":                             "nats://a?%zz=xxxxx",
		"nats://a?token=hun&ter2&tls=true":                 "nats://a?token=xxxxx&xxxxx&tls=true",
		"nats://a?token=hun#ter2":                          "nats://a?token=xxxxx#xxxxx",
		"nats://a#hunter2=x":                               "nats://a#xxxxx",
	} {
		if got := dsn.Redact(raw); got != want {
			t.Errorf("%s:\n got %s\nwant %s", raw, got, want)
		}
	}
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

func FuzzRedact(f *testing.F) {
	f.Add("nats", "u", "a,b@c", "h:1,nats://u:p@i", "x=1")
	f.Add("redis", "", "/?#", "h", "password=y")
	f.Add("redis", "u", "://", "h", "")
	f.Fuzz(func(t *testing.T, scheme, user, more, hosts, query string) {
		const mark = "hunter2"
		if strings.Contains(scheme+user+more+hosts+query, mark) || strings.Contains(scheme, "://") ||
			strings.ContainsAny(user, "?#") || scheme != strings.TrimSpace(scheme) {
			return // no URL of the kind that is made here
		}
		for _, raw := range []string{
			scheme + "://" + user + ":" + mark + more + "@" + hosts,
			scheme + "://" + user + ":" + more + mark + "@" + hosts + "?" + query,
			scheme + "://" + hosts + "?" + query + "&password=" + mark,
		} {
			if got := dsn.Redact(raw); strings.Contains(got, mark) {
				t.Errorf("%q: %q", raw, got)
			}
		}
	})
}

func FuzzLists(f *testing.F) {
	for _, raw := range []string{"nats://a,nats://b", "nats://u:hunter2@a,b:1?x", "nats://a,tls://u:hunter2@b/,", ",://,", "nats://,,"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := opened(t, raw)
		if err == nil && strings.Contains(u.Host, "@") {
			t.Errorf("%q: a user in the host: %q", raw, u.Host)
		}
	})
}

// Numbers have bounds on both sides, and say which.
func TestParametersHaveBounds(t *testing.T) {
	for query, want := range map[string]string{
		"d=0": "at least 1s", "d=0s": "at least 1s", "d=-1h": "at least 1s", "d=999ms": "at least 1s", "d=1s": "", "d=87600h": "",
		"d=87600h1ns": "at most 87600h0m0s", "d=2562047h": "at most", "d=2562048h": "at least 1s", "d=": "at least 1s", "d=1": "at least 1s", "d=1e9s": "at least",
		"t=0": "at least 10ms", "t=10ms": "", "t=1h": "", "t=1h1ns": "at most 1h0m0s", "t=": "at least 10ms", "t=-5s": "at least",
		"n=0": "at least 1", "n=1": "", "n=1125899906842624": "", "n=1125899906842625": "at most 1125899906842624",
		"n=9223372036854775808": "at most", "n=-9223372036854775809": "at least 1", "n=": "at least 1", "n=1.0": "at least 1", "n=0x10": "at least",
		"m=5": "", "m=6": "at most 5", "m=0": "at least 2",
		"b=": "true or false", "b=2": "true or false", "b=1": "",
	} {
		p := dsn.NewParams(&url.URL{RawQuery: query})
		p.Duration("d", time.Hour, time.Second)
		p.Timeout("t", time.Second, 10*time.Millisecond)
		p.Int("n", 1, 1)
		p.IntTo("m", 3, 2, 5)
		p.Bool("b", false)
		err := p.Err()
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}

func TestURLsWithSpaceBetweenThemAreSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, " a://b ": {"a://b"}, "a://b c://d": {"a://b", "c://d"},
		"a://b, a://c\td://e ,d://f": {"a://b,a://c", "d://e,d://f"},
	} {
		if got := dsn.SplitURLs(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
}
