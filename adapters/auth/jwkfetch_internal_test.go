package auth

import (
	"context"
	"crypto/elliptic"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// An HTTP server can be anything: what comes from it is bounded and checked.
func TestWhatIsFetchedIsBounded(t *testing.T) {
	good := set(jwk(t, newECDSA(t, elliptic.P256()).Public(), member{"kid": "a"}))
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	answer := func(at, text string) {
		mux.HandleFunc(at, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
	}
	redirect := func(at, to string) {
		mux.HandleFunc(at, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
	}
	answer("/jwks", good)
	answer("/large", good[:len(good)-1]+`,"x":"`+strings.Repeat("x", maxAnswer)+`"}`)
	answer("/html", "<html></html>")
	redirect("/1", "/2")
	redirect("/2", "/3")
	redirect("/3", "/jwks")
	redirect("/0", "/1")
	redirect("/elsewhere", "ftp://127.0.0.1/jwks")
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"keys":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	discovery := func(name, issuer, keys string) {
		answer("/"+name+"/.well-known/openid-configuration", fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"x":[]}`, issuer, keys))
	}
	discovery("good", server.URL+"/good/", server.URL+"/jwks")
	discovery("other", server.URL+"/good/", server.URL+"/jwks")
	discovery("odd", server.URL+"/odd", "file:///etc/passwd")
	answer("/none/.well-known/openid-configuration", "{}")
	for _, test := range []struct {
		path, issuer string
		want         string // in the error; "" if keys come
	}{
		{"/jwks", "", ""},
		{"/1", "", ""},
		{"/0", "", "more than 3 redirects"},
		{"/elsewhere", "", "unsupported protocol scheme"},
		{"/large", "", "more than 524288 bytes"},
		{"/html", "", "no JSON Web Key Set"},
		{"/not", "", "status 404"},
		{"/slow", "", "deadline exceeded"},
		{"", "/good/", ""},
		{"", "/other", "the issuer calls itself"},
		{"", "/odd", "its jwks_uri: where the keys are is no URL"},
		{"", "/none", "no JSON object with an issuer"},
		{"", "/not", "discovery: " + strings.TrimPrefix(server.URL, "http://") + " answers with status 404"},
	} {
		p := issuerURL{url: server.URL + test.path + "?s3cr3t"}
		if test.issuer != "" {
			issuer := server.URL + test.issuer
			p = issuerURL{url: discoveryURL(issuer), discovery: true, issuer: issuer}
		}
		patience := time.Minute
		if test.path == "/slow" {
			patience = 100 * time.Millisecond
		}
		keys, _, err := newFetcher(patience).keys(t.Context(), p)
		switch {
		case test.want == "" && (err != nil || len(keys) != 1):
			t.Errorf("%+v: %d keys, %v", test, len(keys), err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cr3t")):
			t.Errorf("%+v: %d keys, %v", test, len(keys), err)
		}
	}
	server.Close()
	if _, _, err := newFetcher(time.Minute).keys(context.Background(), issuerURL{url: server.URL + "/jwks"}); err == nil {
		t.Error("a server that is gone has answered")
	}
}

func TestRedirectsKeepTLS(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	safe := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer safe.Close()
	f := newFetcher(time.Minute)
	f.client.Transport = safe.Client().Transport
	if _, err := f.get(t.Context(), safe.URL); err == nil || !strings.Contains(err.Error(), "away from https") {
		t.Errorf("got %v", err)
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"issuer":"https://%s","jwks_uri":%q}`, r.Host, plain.URL)
	})
	discovered := httptest.NewTLSServer(answer)
	defer discovered.Close()
	f.client.Transport = discovered.Client().Transport
	p := issuerURL{url: discoveryURL(discovered.URL), discovery: true, issuer: discovered.URL}
	if _, err := f.discover(t.Context(), p); err == nil || !strings.Contains(err.Error(), "gives up https") {
		t.Errorf("got %v", err)
	}
}

func TestPlacesAreChecked(t *testing.T) {
	for url, want := range map[string]string{
		"https://login.example.com/jwks?tenant=a": "",
		"http://keycloak:8080/jwks":               "",
		"login.example.com":                       "no URL",
		"file:///jwks":                            "no URL",
		"https:///jwks":                           "no URL",
		"https://a:b@login.example.com/jwks":      "has a user",
		"https://login.example.com/jwks#a":        "fragment",
		"https://%zz/":                            "no URL",
	} {
		_, err := NewJWT(JWTConfig{JWKSURL: url, Audience: "push"})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", url, err)
		}
	}
	for want, cfg := range map[string]JWTConfig{
		"set issuer, too":    {Discovery: true},
		"no URL":             {Discovery: true, Issuer: "the shop"},
		"more than one of":   {Discovery: true, Issuer: "https://login.example.com", JWKSURL: "https://login.example.com/jwks"},
		"other applications": {JWKSURL: "https://login.example.com/jwks", Audience: AnyAudience},
		"in: set issuer":     {JWKSURL: "https://login.example.com/jwks"},
		"not be negative":    {JWKSURL: "https://login.example.com/jwks", Issuer: "login", JWKSRefresh: -1},
	} {
		if _, err := NewJWT(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want …%s…", cfg, err, want)
		}
	}
	for url, plain := range map[string]bool{
		"https://login.example.com": false, "http://127.0.0.1:8080": false, "http://[::1]/": false, "http://localhost/jwks": false,
		"http://keycloak:8080/": true, "http://192.0.2.1/": true,
	} {
		if got := (issuerURL{url: url}).plain(); got != plain {
			t.Errorf("%s: %t", url, got)
		}
	}
}
