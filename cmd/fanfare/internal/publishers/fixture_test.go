package publishers_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/connections"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/publishers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests. It is not a claim about speed.
const patience = 20 * time.Second

// limits are short where tests wait for them.
func limits() fanfare.LimitsConfig {
	l := fanfare.DefaultConfig().Limits
	l.BodyStall, l.AnswerTime, l.SocketBytes = 200*time.Millisecond, 400*time.Millisecond, 32<<10
	return l
}

// entry is the API key of its name, for auth.api_keys.
func entry(name, scopes string) fanfare.Secret {
	sum := sha256.Sum256([]byte(name))
	return fanfare.Secret(name + ":" + scopes + ":" + hex.EncodeToString(sum[:]))
}

// node returns a node's handler. It serves orders and chat, and believes the keys shop
// and ops.
func node(t *testing.T) http.Handler {
	t.Helper()
	n, err := fanfare.New(t.Context(), fanfare.Config{
		Systems: []string{"orders", "chat"}, Limits: limits(),
		Auth: fanfare.AuthConfig{APIKeys: []fanfare.Secret{entry("shop", "publish/orders"), entry("ops", "*")}},
	}, fanfare.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n.Handler()
}

// A server is what the tests are about, or an http.Server to compare with.
type server interface {
	Serve(net.Listener) error
	Close() error
}

// A log notes who served each request.
type log struct {
	http.Handler
	mu    sync.Mutex
	lines []string
}

func (l *log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	by := "here"
	if _, ok := w.(http.Hijacker); ok {
		by = "net/http"
	}
	l.mu.Lock()
	l.lines = append(l.lines, by)
	l.mu.Unlock()
	l.Handler.ServeHTTP(w, r)
}

// served returns who served the requests, and forgets them.
func (l *log) served() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Join(l.lines, " ")
	l.lines = nil
	return all
}

// std returns an http.Server as the command makes it.
func std(h http.Handler, limits fanfare.LimitsConfig) *http.Server {
	return connections.Server(h, limits, slog.New(slog.DiscardHandler))
}

// listen has a server serve until the test ends, and returns its address.
func listen(t *testing.T, s server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(connections.Bound(l, limits().SocketBytes)); err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	}()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return l.Addr().String()
}

// start starts the server under test.
func start(t *testing.T, h http.Handler) (s *publishers.Server, addr string, l *log) {
	t.Helper()
	l = &log{Handler: h}
	s = publishers.New(std(l, limits()))
	return s, listen(t, s), l
}

// A client is one connection.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{t, c, bufio.NewReader(c)}
}

// send sends each text in a write of its own. The server may have closed the connection
// after the first of them; what it answers says so.
func (c *client) send(texts ...string) {
	for _, text := range texts {
		if _, err := io.WriteString(c.Conn, text); err != nil {
			return
		}
	}
}

var (
	ulid   = regexp.MustCompile(`"[0-9A-HJKMNP-TV-Z]{26}"`)
	cursor = regexp.MustCompile(`"cursor":"[\w-]+"`)
)

// answer reads an answer, and returns it without what differs each time: the date and
// ids. It returns "closed" if there is none.
func (c *client) answer(method string) string {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		if e, ok := err.(net.Error); ok && e.Timeout() {
			c.t.Fatalf("no answer: %v", err)
		}
		return "closed"
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "closed in the middle"
	}
	if r.Header.Get("Date") == "" && r.StatusCode >= 200 && r.StatusCode < 400 {
		c.t.Error("an answer without a date")
	}
	r.Header.Del("Date")
	var b strings.Builder
	b.WriteString(r.Proto + " " + r.Status + "\n")
	_ = r.Header.Write(&b)
	if r.Close {
		b.WriteString("the last\n")
	}
	text := ulid.ReplaceAllString(string(body), `"ID"`)
	b.WriteString("\n" + cursor.ReplaceAllString(text, `"cursor":"CURSOR"`))
	return b.String()
}

// message is the body of a good request.
const message = `{"to":"user:alice","data":{"n":1}}`

// post is a request with a body and further lines in its header, and head is its head.
func post(body string, lines ...string) string {
	return head(len(body), lines...) + body
}

func head(length int, lines ...string) string {
	h := "POST /v1/systems/orders/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer shop\r\n" +
		"Content-Type: application/json\r\n"
	for _, l := range lines {
		h += l + "\r\n"
	}
	return h + "Content-Length: " + strconv.Itoa(length) + "\r\n\r\n"
}
