package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/subscriber"
	"github.com/fanfarebus/fanfare/webhook"
)

// oneLog returns a Config whose log is kept.
func oneLog() (webhook.Config, *lines) {
	l := &lines{}
	return webhook.Config{Logger: slog.New(slog.NewTextHandler(l, nil))}, l
}

// raw puts bytes on the inbound topic.
func (k kit) raw(body string) {
	k.t.Helper()
	m := message.NewMessage("", []byte(body))
	m.Metadata = message.Metadata{transport.RawKey: "1"}
	if err := k.bus.Publish(k.topics.Inbound(k.system), m); err != nil {
		k.t.Fatal(err)
	}
}

// A slow endpoint of several systems is asked by a bounded number of requests at once. The
// others wait for their turn, and that does not count as the endpoint's time.
func TestWaitingForATurnIsNotTheEndpointsTime(t *testing.T) {
	k := memoryKit(t)
	const pause = 100 * time.Millisecond
	h := newHook(t, func(_ int64, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(pause):
		case <-r.Context().Done():
		}
	})
	e := endpoint("crm", h.URL)
	e.Timeout = 5 * pause
	k.sendAll(20, 0, 1)
	e.Systems, e.Events = []string{"chat", "orders", "billing"}, true
	w, _ := k.work(webhook.Config{Concurrency: 1}, e)
	until(t, "all", func() bool { return h.count() == 20 })
	if n := value(t, w, "webhook_failed_total", "crm"); n > 0 {
		t.Errorf("%v attempts failed", n)
	}
}

// The one endpoint is gone: the worker stays, since whoever starts it again would be asked
// to post again.
func TestAWorkerOfGoneEndpointsStays(t *testing.T) {
	k := memoryKit(t)
	h := newHook(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	w, err := webhook.New([]subscriber.Bus{k.bus}, []webhook.Endpoint{endpoint("crm", h.URL)}, webhook.Config{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.Run(t.Context()) }()
	k.send("alice", 0, time.Now())
	until(t, "the answer", func() bool { return value(t, w, "webhook_gone", "crm") == 1 })
	select {
	case err := <-done:
		t.Errorf("Run returned %v", err)
	case <-time.After(200 * time.Millisecond):
	}
}

// A program may have replaced what makes its requests.
func TestTheProgramsTransportIsNotUsed(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	http.DefaultTransport = refusing{}
	k := memoryKit(t)
	h := newHook(t, nil)
	k.work(webhook.Config{}, endpoint("crm", h.URL))
	k.send("alice", 0, time.Now())
	until(t, "it", func() bool { return h.count() == 1 })
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }

// What goes wrong is said in words that help, without the secret parts of the URL.
func TestWhatIsSaidOfBadEndpoints(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer secure.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	babbling := listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n")
	})
	headers := listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1)) // an answer before the request is another fault
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	})
	for name, test := range map[string]struct{ url, want string }{
		"certificate": {secure.URL, "x509: certificate signed by unknown authority"},
		"no TLS":      {strings.Replace(plain.URL, "http:", "https:", 1), "server gave HTTP response to HTTPS client"},
		"TLS":         {strings.Replace(secure.URL, "https:", "http:", 1), "answered 400 Bad Request"},
		"not found":   {plain.URL, "answered 404 Not Found"},
		"silent":      {"http://" + silent, "no answer within 3s"},
		"no HTTP":     {"http://" + babbling, "malformed HTTP"},
		"headers":     {"http://" + headers, "server response headers exceeded"},
		"no host":     {"http://127.0.0.1:1", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			k := memoryKit(t)
			cfg, log := oneLog()
			scheme, rest, _ := strings.Cut(test.url, "://")
			e := endpoint("crm", scheme+"://hunter2:hunter2@"+rest+"/hunter2?key=hunter2")
			e.Timeout = 3 * time.Second
			_, stop := k.work(cfg, e)
			k.send("alice", 0, time.Now())
			until(t, "a line", func() bool { return strings.Contains(log.String(), "a handler failed") })
			stop()
			if text := log.String(); !strings.Contains(text, test.want) {
				t.Errorf("it does not say %q: %s", test.want, text)
			}
			if text := log.String(); strings.Contains(text, "hunter2") || strings.Contains(text, oldSecret) ||
				len(text) > 4000 {
				t.Errorf("the log: %s", text)
			}
		})
	}
}

// listen serves each connection with serve, and closes it.
func listen(t *testing.T, serve func(c net.Conn)) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// Whatever users are called and send arrives as it was, with a signature that can be computed
// from what the specification says alone.
func TestWhatIsOddArrivesAndIsSigned(t *testing.T) {
	k := memoryKit(t)
	got := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(oldSecret, "whsec_"))
		if err != nil {
			t.Error(err)
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		if s := r.Header.Get("webhook-signature"); s != want {
			t.Errorf("the signature is %s, want %s", s, want)
		}
		got <- string(body)
	}))
	defer server.Close()
	cfg, log := oneLog()
	k.work(cfg, endpoint("crm", server.URL))
	huge := strings.Repeat("ü", 4<<20)
	k.raw(`{"from":"b","id":"1","data":{"a":}}`)
	k.raw(`{"from":"b","id":"1","data":1`)
	k.raw("{\"from\":\"b\xff\",\"id\":\"1\",\"data\":1}")
	for _, said := range []string{
		`{"id":"1","from":"Ωλ 👩‍👩‍👧 \"x\" \\","session":"s","data":{"ключ":"<&>\u2028"}}`,
		`{"id":"2","from":"b","session":"s","data":"` + huge + `"}`,
	} {
		k.raw(said)
		select {
		case body := <-got:
			if want := `{"system":"chat",` + said[1:]; body != want && len(body) < 1000 {
				t.Errorf("got  %s\nwant %s", body, want)
			} else if len(body) != len(want) && len(body) > 1000 {
				t.Errorf("got %d bytes of %d", len(body), len(want))
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing came; the log: %s", log)
		}
	}
	if n := strings.Count(log.String(), "cannot be decoded"); n == 0 || len(log.String()) > 4000 {
		t.Errorf("the log: %s", log)
	}
}
