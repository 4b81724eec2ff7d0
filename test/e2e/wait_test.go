package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A command may be asked to wait for up to 30 s until all nodes have applied it. nginx does
// not give up before.
func TestNginxWaitsForCommands(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			return
		}
		select {
		case <-time.After(12 * time.Second): // more than nginx gives other requests
		case <-r.Context().Done():
		}
	}))
	defer upstream.Close()
	c := &cluster{t: t, nodes: []*node{{addr: upstream.Listener.Addr().String()}}}
	c.withNginx()
	patient := &http.Client{Timeout: 30 * time.Second}
	answers := make(chan string)
	for _, path := range []string{
		"/v1/users/a%2Fb/block", "/v1/users/%2E%2E/block", "/v1/tokens/revoke", "/v1/sessions/x/disconnect",
		"/v1/systems/chat/rooms/a%2Fb/members/bob",
	} {
		go func() {
			answer, err := patient.Get("http://" + c.front + path + "?wait=15s")
			if err == nil && answer.StatusCode == http.StatusOK {
				path = ""
			}
			if err == nil {
				err = answer.Body.Close()
			}
			if err != nil {
				t.Error(err)
			}
			answers <- path
		}()
	}
	for range 5 {
		if path := <-answers; path != "" {
			t.Errorf("nginx gave up: %s", path)
		}
	}
}
