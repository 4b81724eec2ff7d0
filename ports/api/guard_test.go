package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/ports/api"
)

func TestDevGuardLetsOnlyThisMachineIn(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*http.Request)
		status int
	}{
		"curl":              {func(r *http.Request) {}, 200},
		"localhost":         {func(r *http.Request) { r.Host = "localhost:8080" }, 200},
		"IPv6":              {func(r *http.Request) { r.Host, r.RemoteAddr = "[::1]:8080", "[::1]:5" }, 200},
		"IPv6, no port":     {func(r *http.Request) { r.Host = "[::1]" }, 200},
		"local page":        {func(r *http.Request) { r.Header.Set("Origin", "http://localhost:3000") }, 200},
		"NDJSON":            {func(r *http.Request) { r.Header.Set("Content-Type", "application/x-ndjson") }, 200},
		"no body":           {func(r *http.Request) { r.ContentLength = 0; r.Header.Del("Content-Type") }, 200},
		"another machine":   {func(r *http.Request) { r.RemoteAddr = "10.0.0.7:5" }, 403},
		"no address":        {func(r *http.Request) { r.RemoteAddr = "@" }, 403},
		"rebound name":      {func(r *http.Request) { r.Host = "evil.example:8080" }, 403},
		"name like ours":    {func(r *http.Request) { r.Host = "127.0.0.1.evil.example" }, 403},
		"no host":           {func(r *http.Request) { r.Host = "" }, 403},
		"foreign page":      {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		"sandboxed page":    {func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		"empty origin":      {func(r *http.Request) { r.Header.Set("Origin", "") }, 403},
		"proxy":             {func(r *http.Request) { r.Header.Set("X-Forwarded-For", "127.0.0.1") }, 403},
		"tunnel":            {func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") }, 403},
		"standard proxy":    {func(r *http.Request) { r.Header.Set("Forwarded", "for=x") }, 403},
		"form":              {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		"untyped":           {func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		"untyped, chunked":  {func(r *http.Request) { r.Header.Del("Content-Type"); r.ContentLength = -1 }, 415},
		"charset parameter": {func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }, 200},
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:5"
		r.Header.Set("Content-Type", "application/json")
		tt.change(r)
		w := httptest.NewRecorder()
		api.DevGuard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("%s: %d %s; want %d", name, w.Code, w.Body, tt.status)
		}
	}
}
