package fanfare_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// over returns a server that speaks HTTP/2, or HTTP/1.1 over TLS, in front of
// a node's handler, and its client.
func over(t *testing.T, two bool, h http.Handler) (url string, c *http.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = two
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, s.Client()
}

// In HTTP/2 a deadline ends the stream, whether somebody writes or not.
func TestASlowPublisherIsServedInEitherHTTP(t *testing.T) {
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, false)
			url, c := over(t, two, h.handler)
			body, out := io.Pipe()
			go func() { // the answer's time is 500 ms, the body's 2 s
				defer out.Close()
				tick := time.NewTicker(250 * time.Millisecond)
				defer tick.Stop()
				for _, part := range []string{`{"to"`, `:"*"`, `,"data"`, `:`, `1}`} {
					<-tick.C
					_, _ = io.WriteString(out, part) // the request may have failed
				}
			}()
			r, err := c.Post(url+"/v1/systems/orders/messages", "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if r.StatusCode != http.StatusAccepted || r.Proto != name {
				t.Errorf("%s in %s", r.Status, r.Proto)
			}
		})
	}
}

func TestABodyThatDoesNotComeIsRefusedInHTTP2(t *testing.T) {
	h := newHost(t, false)
	url, c := over(t, true, h.handler)
	body, out := io.Pipe()
	defer out.Close()
	began := time.Now()
	r, err := c.Post(url+"/v1/systems/orders/messages", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if took := time.Since(began); r.StatusCode != http.StatusRequestTimeout || took > 5*time.Second {
		t.Errorf("%s after %v", r.Status, took)
	}
}

func TestAnEventStreamOutlivesTheTimeForAnswersInHTTP2(t *testing.T) {
	h := newHost(t, false)
	url, c := over(t, true, h.handler)
	events, err := c.Get(url + "/sse?user=alice&systems=orders")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	<-time.NewTimer(1500 * time.Millisecond).C
	r, err := c.Post(url+"/v1/systems/orders/messages", "application/json", strings.NewReader(`{"to":"*","data":"late"}`))
	if err != nil || r.StatusCode != http.StatusAccepted {
		t.Fatal(r, err)
	}
	r.Body.Close()
	lines := bufio.NewScanner(events.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"late"`) {
			return
		}
	}
	t.Errorf("the event stream ended: %v", lines.Err())
}
