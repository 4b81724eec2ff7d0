package dsn_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

// opened returns the URL as an opener gets it.
func opened(t testing.TB, raw string) (*url.URL, error) {
	t.Helper()
	u, err := dsn.Parse(raw, "nats://")
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"nats", "kafka", "redis", "tls"}, u.Scheme) {
		return nil, errors.New("unknown scheme")
	}
	return u, nil
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
