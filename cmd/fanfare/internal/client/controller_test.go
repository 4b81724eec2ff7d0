package client_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

// Each name stays one segment of the path, also where a server reads the path again.
func TestNamesInPathsStayWhatTheyAre(t *testing.T) {
	var got, query, body string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /base/v1/users/{user}/disconnect", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, query, body = r.PathValue("user"), r.URL.RawQuery, string(text)
		w.WriteHeader(202)
		fmt.Fprint(w, `{"id":"x"}`)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c := client.Controller{Node: server.URL + "/base/", Key: "k"}
	for _, name := range []string{"alice", "a/b", ".", "..", "../x", "a b", "%2F", "a?b#c", "ü", ";", "a+b", "//", "a%"} {
		answer, err := c.Do(t.Context(), client.Request{
			Method: "POST", Path: []string{"users", name, "disconnect"}, Query: map[string]string{"none": ""},
			Body: map[string]int{"n": 1}, Wait: 1500 * time.Millisecond,
		})
		if err != nil || got != name || query != "wait=1.5s" || body != `{"n":1}` || string(answer) != `{"id":"x"}` {
			t.Errorf("%q: the server got %q, %q, %q: %s, %v", name, got, query, body, answer, err)
		}
	}
	for _, bad := range []string{"", "localhost:8080", "redis://h"} {
		if _, err := (client.Controller{Node: bad}).Do(t.Context(), client.Request{Method: "GET"}); err == nil {
			t.Errorf("%q was asked", bad)
		}
	}
}

// A redirect would turn a DELETE into a GET.
func TestControllerFollowsNoRedirects(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "https://push.example.com/secret?token=x", http.StatusMovedPermanently)
	}))
	defer server.Close()
	_, err := client.Controller{Node: server.URL}.Do(t.Context(), client.Request{Method: "DELETE", Path: []string{"nodes"}})
	if err == nil || asked != 1 || !strings.Contains(err.Error(), "https://push.example.com:") || strings.Contains(err.Error(), "token") {
		t.Errorf("asked %d times: %v", asked, err)
	}
}
