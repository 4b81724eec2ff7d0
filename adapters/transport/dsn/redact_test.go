package dsn_test

import (
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

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
