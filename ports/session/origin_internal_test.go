package session

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestOriginsAreMatchedAsPeopleWriteThem(t *testing.T) {
	for _, test := range []struct {
		listed    string
		good, bad []string
	}{
		{"https://app.example.com", []string{"https://app.example.com", "https://APP.example.com", "https://app.example.com:443"},
			[]string{"http://app.example.com", "https://app.example.com.evil.net", "https://app.example.com:8443", "https://xapp.example.com", "https://a.app.example.com", "null", "", "app.example.com", "https://app.example.com@evil.net", "https://evil.net/https://app.example.com"}},
		{"HTTPS://App.Example.COM:443", []string{"https://app.example.com"}, []string{"http://app.example.com"}},
		{"http://app.example.com:80", []string{"http://app.example.com"}, []string{"http://app.example.com:443", "https://app.example.com"}},
		{"https://*.example.com", []string{"https://app.example.com", "https://a.b.example.com", "https://App.Example.com:443"},
			[]string{"https://example.com", "https://.example.com", "https://evilexample.com", "https://app.example.com.evil.net", "http://app.example.com", "https://app.example.com:8443", "https://*.example.com"}},
		{"https://*.example.com:*", []string{"https://app.example.com", "https://app.example.com:8443"}, []string{"https://example.com:1", "http://app.example.com:1"}},
		{"http://localhost:*", []string{"http://localhost", "http://localhost:3000", "http://localhost:5173"}, []string{"https://localhost", "http://localhost.evil.net", "http://localhost:x", "http://localhost:0", "http://localhost:99999"}},
		{"http://*.localhost:3000", []string{"http://shop.localhost:3000"}, []string{"http://localhost:3000", "http://shop.localhost"}},
		{"http://[2001:DB8::1]:8080", []string{"http://[2001:db8:0::1]:8080"}, []string{"http://[2001:db8::2]:8080", "http://[2001:db8::1]"}},
		{"http://127.0.0.1:8080", []string{"http://127.0.0.1:8080"}, []string{"http://127.0.0.1"}},
		{"capacitor://localhost", []string{"capacitor://localhost"}, []string{"http://localhost"}},
		{"chrome-extension://abcdefghijklmnop", []string{"chrome-extension://abcdefghijklmnop"}, []string{"chrome-extension://other"}},
	} {
		if err := CheckOrigin(test.listed); err != nil {
			t.Errorf("%s: %v", test.listed, err)
			continue
		}
		all, err := parseOrigins([]string{"https://other.example.net", test.listed})
		if err != nil {
			t.Fatal(err)
		}
		reg := &Registry{origins: all}
		for _, sent := range append(test.good, test.bad...) {
			r := httptest.NewRequest(http.MethodGet, "http://bus.example.org/ws", nil)
			_, allowed := reg.allows(r, sent)
			if want := len(test.good) > 0 && contained(test.good, sent); allowed != want {
				t.Errorf("%s: a page of %q: %v", test.listed, sent, allowed)
			}
		}
	}
}

func contained(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

func TestOriginsThatCannotWorkAreRefused(t *testing.T) {
	for listed, want := range map[string]string{
		"app.example.com":               "want https://app.example.com",
		"*.example.com":                 "want https://*.example.com",
		"https://app.example.com/":      "want https://app.example.com",
		"https://*.example.com/":        "without a slash: want https://*.example.com",
		"https://app.example.com/app":   "no path: want https://app.example.com",
		"https://app.example.com?x":     "scheme://host",
		"https://app.example.com#x":     "scheme://host",
		"https://me@app.example.com":    "scheme://host",
		"https://":                      "scheme://host",
		"https:///":                     "scheme://host",
		"https://:443":                  "scheme://host",
		"https://app.example.com:":      "scheme://host",
		"https://app.example.com:0":     "scheme://host",
		"https://app.example.com:+1":    "scheme://host",
		"https://app.example.com:65536": "scheme://host",
		"https://app.example.com:1:*":   "scheme://host",
		"https://*":                     "star",
		"https://*.com":                 "everybody",
		"https://app.*.com":             "star",
		"https://*app.example.com":      "star",
		"https://*.*.example.com":       "star",
		"*://app.example.com":           "scheme://host",
		"https://*.127.0.0.1":           "scheme://host",
		"https://*.127.0.0.1.":          "ends in a number",
		"https://*.127.1":               "ends in a number",
		"http://127.1":                  "ends in a number",
		"http://127.0.0.1.":             "ends in a number",
		"http://0x7f000001":             "ends in a number",
		"http://256.1.1.1":              "ends in a number",
		"https://*.[::1]":               "scheme://host",
		"https://*.com.":                "everybody",
		"https://\u212aelvin.example":   "xn--", // the Kelvin sign, which is a k in lower case
		"https://[::1":                  "scheme://host",
		"https://[127.0.0.1]":           "scheme://host",
		"https://::1":                   "scheme://host",
		"https://bücher.example":        "xn--",
		"https://a b.example":           "scheme://host",
		"https://a..example":            "scheme://host",
		"null":                          "null",
		"":                              "scheme",
		"file://":                       "scheme://host",
		" https://app.example.com":      "scheme://host",
	} {
		err := CheckOrigin(listed)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want …%s…", listed, err, want)
		}
	}
}

// A page of the very host that was asked needs no entry, unless it came over a less
// safe scheme: then somebody between may have written it.
func TestOwnPages(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct {
		origin, host, remote, proto string
		tls, want                   bool
	}{
		{"http://bus.example.com", "bus.example.com", "192.0.2.1:9", "", false, true},
		{"http://bus.example.com", "bus.example.com:80", "192.0.2.1:9", "", false, true},
		{"http://bus.example.com:8080", "bus.example.com:8080", "192.0.2.1:9", "", false, true},
		{"http://BUS.example.com", "bus.EXAMPLE.com", "192.0.2.1:9", "", false, true},
		{"http://[::1]:8080", "[::1]:8080", "192.0.2.1:9", "", false, true},
		{"https://bus.example.com", "bus.example.com", "192.0.2.1:9", "", true, true},
		{"https://bus.example.com", "bus.example.com:443", "192.0.2.1:9", "", true, true},
		{"https://bus.example.com", "bus.example.com", "192.0.2.1:9", "", false, true},      // a proxy that is not in proxies ends TLS
		{"https://bus.example.com", "bus.example.com", "10.0.0.1:9", "http", false, true},   // one in front of the proxy does
		{"https://bus.example.com", "bus.example.com", "10.0.0.1:9", "https", false, true},  //
		{"http://bus.example.com", "bus.example.com", "192.0.2.1:9", "", true, false},       // less safe than the request
		{"http://bus.example.com", "bus.example.com", "10.0.0.1:9", "https", false, false},  // as the proxy says
		{"http://bus.example.com", "bus.example.com", "192.0.2.1:9", "https", false, true},  // not from a proxy: not believed
		{"http://bus.example.com:8080", "bus.example.com", "192.0.2.1:9", "", false, false}, //
		{"http://bus.example.com", "bus.example.com:443", "192.0.2.1:9", "", false, false},  //
		{"http://evil.example.com", "bus.example.com", "192.0.2.1:9", "", false, false},     //
		{"gopher://bus.example.com", "bus.example.com", "192.0.2.1:9", "", false, false},    //
		{"http://bus.example.com/", "bus.example.com", "192.0.2.1:9", "", false, false},     // no origin
		{"http://bus.example.com", "", "192.0.2.1:9", "", false, false},
	} {
		reg := &Registry{cfg: Config{Proxies: proxies}.withDefaults()}
		r := httptest.NewRequest(http.MethodGet, "/ws", nil)
		r.Host, r.RemoteAddr = test.host, test.remote
		r.Header.Set("Origin", test.origin)
		if test.proto != "" {
			r.Header.Set("X-Forwarded-Proto", test.proto)
		}
		if test.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if _, got := reg.AllowedOrigin(r); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestAStarAllowsEveryPageAndNamesNone(t *testing.T) {
	all, _ := parseOrigins([]string{"*", "https://app.example.com"})
	reg := &Registry{origins: all}
	for sent, want := range map[string]string{
		"https://app.example.com": "https://app.example.com", "http://bus.example.org": "http://bus.example.org",
		"https://evil.example.net": "*", "null": "*", "file://": "*", "x": "*",
	} {
		r := httptest.NewRequest(http.MethodGet, "http://bus.example.org/ws", nil)
		r.Header.Set("Origin", sent)
		if got, allowed := reg.AllowedOrigin(r); got != want || !allowed {
			t.Errorf("%s: %q, %v", sent, got, allowed)
		}
	}
	none := &Registry{}
	r := httptest.NewRequest(http.MethodGet, "http://bus.example.org/ws", nil)
	r.Header.Set("Origin", "null")
	if _, allowed := none.AllowedOrigin(r); allowed {
		t.Error("null is allowed without a star")
	}
}

func TestWhereOthersAreListedThisHostMustBeToo(t *testing.T) {
	for _, test := range []struct {
		listed []string
		want   bool
	}{
		{nil, true},
		{[]string{"https://app.example.com"}, false},
		{[]string{"https://app.example.com", "http://bus.example.org"}, true},
	} {
		all, _ := parseOrigins(test.listed)
		reg := &Registry{origins: all}
		r := httptest.NewRequest(http.MethodGet, "http://bus.example.org/ws", nil)
		r.Header.Set("Origin", "http://bus.example.org")
		if _, allowed := reg.AllowedOrigin(r); allowed != test.want {
			t.Errorf("%q: %v", test.listed, allowed)
		}
	}
}

func TestTwoOriginsAreNone(t *testing.T) {
	all, _ := parseOrigins([]string{"https://app.example.com"})
	reg := &Registry{origins: all}
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header["Origin"] = []string{"https://app.example.com", "https://evil.example.net"}
	if _, allowed := reg.AllowedOrigin(r); allowed {
		t.Error("allowed")
	}
}

func FuzzOrigins(f *testing.F) {
	f.Add("https://*.example.com:*", "https://a.example.com")
	f.Add("http://[::1]:1", "http://[::1]:01")
	f.Add("*://*", "null")
	f.Fuzz(func(t *testing.T, listed, sent string) {
		if CheckOrigin(listed) != nil || listed == "*" {
			return
		}
		all, err := parseOrigins([]string{listed})
		if err != nil {
			t.Fatal(err)
		}
		o, err := parseOrigin(sent)
		if err != nil || !all.names(o) {
			return
		}
		// An origin that matches has the scheme of the entry, and ends in its host.
		scheme, host, _ := strings.Cut(strings.ToLower(listed), "://")
		host = strings.TrimPrefix(strings.TrimSuffix(host, ":*"), "*.")
		if p, err := parseOrigin(scheme + "://" + host); err != nil || o.scheme != p.scheme || !strings.HasSuffix("."+o.host, "."+p.host) {
			t.Fatalf("%q matches %q", listed, sent)
		}
	})
}
