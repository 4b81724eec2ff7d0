package publishers_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/publishers"
)

// with returns a request with one text replaced by another.
func with(request, old, new string) string {
	if !strings.Contains(request, old) {
		panic(old)
	}
	return strings.Replace(request, old, new, 1)
}

const (
	length   = "Content-Length: 34\r\n" // of message
	jsonType = "Content-Type: application/json\r\n"
	line     = "POST /v1/systems/orders/messages HTTP/1.1"
	bearer   = "Authorization: Bearer shop\r\n"
)

// An exchange is what a client sends, and how often it reads an answer.
type exchange struct {
	text    string
	method  string // of the request, POST if it is empty
	answers int    // 1 if it is 0
	here    bool   // the request is served here, not by net/http
}

// exchanges are friendly and hostile requests.
func exchanges() map[string]exchange {
	good := post(message)
	large := `{"to":"*","data":"` + strings.Repeat("x", 10_000) + `"}`
	batch := "[" + strings.Repeat(message+",", 20) + message + "]"
	return map[string]exchange{
		"a message":                {text: good, here: true},
		"a batch":                  {text: post(batch), here: true},
		"NDJSON":                   {text: with(post(message), "json", "x-ndjson"), here: true},
		"names in lower case":      {text: with(with(good, "Content-Length", "content-length"), "Host", "hOST"), here: true},
		"keep-alive":               {text: post(message, "Connection: Keep-Alive"), here: true},
		"a proxy's headers":        {text: post(message, "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4"), here: true},
		"a page's headers":         {text: post(message, "Origin: https://evil.example", "Cookie: a=b", "Accept-Encoding: gzip"), here: true},
		"no key":                   {text: with(good, bearer, ""), here: true},
		"a wrong key":              {text: with(good, "shop", "shoq"), here: true},
		"the same key twice":       {text: post(message, "Authorization: Bearer shop"), here: true},
		"two keys":                 {text: post(message, "Authorization: Bearer ops"), here: true},
		"another scheme":           {text: post(message, "Authorization: Basic YTpi"), here: true},
		"no scope":                 {text: with(good, "systems/orders", "systems/chat"), here: true},
		"a system not served":      {text: with(with(good, "systems/orders", "systems/nope"), "shop", "ops"), here: true},
		"bad JSON":                 {text: post(`{"to":`), here: true},
		"a bad target":             {text: post(`{"to":"alice","data":1}`), here: true},
		"an unknown field":         {text: post(`{"to":"*","data":1,"user":"<script>"}`), here: true},
		"an empty array":           {text: post(`[]`), here: true},
		"white space":              {text: post(` `), here: true},
		"faults in a batch":        {text: post("[" + strings.Repeat("1,", 50) + "1]"), here: true},
		"another type":             {text: with(good, "application/json", "text/plain"), here: true},
		"no type":                  {text: with(good, jsonType, ""), here: true},
		"another charset":          {text: with(good, "/json", "/json; charset=latin1"), here: true},
		"compressed":               {text: post(message, "Content-Encoding: gzip"), here: true},
		"a header of spaces":       {text: post(message, "X: \t ", "Y:"), here: true},
		"a long header":            {text: post(message, "X: "+strings.Repeat("x", 3000)), here: true},
		"a length with zeros":      {text: with(good, length, "Content-Length: 0034\r\n"), here: true},
		"two at once":              {text: good + good, answers: 2, here: true},
		"refused, then good":       {text: with(good, "shop", "shoq") + good, answers: 2, here: true},
		"a large message":          {text: post(large)},
		"a header of 5,000 bytes":  {text: post(message, "X: "+strings.Repeat("x", 5000))},
		"a header of 80,000 bytes": {text: post(message, "X: "+strings.Repeat("x", 80_000))},
		"100 lines":                {text: post(message, strings.Split(strings.Repeat("X: y;", 99)+"X: y", ";")...)},
		"close":                    {text: post(message, "Connection: close")},
		"close, and more":          {text: post(message, "Connection: close") + good, answers: 2},
		"keep-alive, close":        {text: post(message, "Connection: keep-alive, close")},
		"HTTP/1.0":                 {text: with(good, "HTTP/1.1", "HTTP/1.0")},
		"HTTP/1.0, keep-alive":     {text: with(post(message, "Connection: keep-alive"), "HTTP/1.1", "HTTP/1.0")},
		"HTTP/1.2":                 {text: with(good, "HTTP/1.1", "HTTP/1.2")},
		"HTTP/2":                   {text: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		"no version":               {text: with(good, " HTTP/1.1", "")},
		"a whole URL":              {text: with(good, "POST /", "POST http://localhost/")},
		"another host's URL":       {text: with(good, "POST /", "POST http://other/")},
		"an escape":                {text: with(good, "orders", "%6frders")},
		"an escaped slash":         {text: with(good, "orders", "orders%2Fx")},
		"upper case":               {text: with(good, "orders", "Orders")},
		"dots":                     {text: with(good, "orders", "..")},
		"two slashes":              {text: with(good, "/v1", "//v1")},
		"a slash at the end":       {text: with(good, "messages", "messages/")},
		"a query":                  {text: with(good, "messages", "messages?a=b")},
		"another path":             {text: with(good, "messages", "message")},
		"a command":                {text: with(good, "systems/orders/messages", "users/alice/disconnect")},
		"who is there":             {text: with(good, "messages", "presence")},
		"a member named messages":  {text: with(good, "messages", "rooms/r/members/messages")},
		"two spaces":               {text: with(good, "POST ", "POST  ")},
		"a tab":                    {text: with(good, "POST ", "POST\t")},
		"post":                     {text: with(good, "POST", "post")},
		"GET":                      {text: "GET /v1/systems/orders/messages HTTP/1.1\r\nHost: a\r\n\r\n", method: "GET"},
		"GET with a body":          {text: with(good, "POST", "GET"), method: "GET"},
		"HEAD":                     {text: "HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n", method: "HEAD"},
		"OPTIONS":                  {text: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", method: "OPTIONS"},
		"a preflight": {text: "OPTIONS /v1/systems/orders/messages HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n" +
			"Access-Control-Request-Method: POST\r\n\r\n", method: "OPTIONS"},
		"PUT":                    {text: with(good, "POST", "PUT")},
		"no length":              {text: with(good, length, "")},
		"a length of 0":          {text: head(0)},
		"a length of -1":         {text: with(good, length, "Content-Length: -1\r\n")},
		"a length of +34":        {text: with(good, length, "Content-Length: +34\r\n")},
		"a length in hex":        {text: with(good, length, "Content-Length: 0x22\r\n")},
		"an empty length":        {text: with(good, length, "Content-Length:\r\n")},
		"a list of lengths":      {text: with(good, length, "Content-Length: 34, 34\r\n")},
		"the same length twice":  {text: post(message, "Content-Length: 34")},
		"two lengths":            {text: post(message, "Content-Length: 3")},
		"a huge length":          {text: head(5_000_000)},
		"no such length":         {text: with(good, length, "Content-Length: 99999999999999999999\r\n")},
		"chunked":                {text: with(good, length+"\r\n"+message, "Transfer-Encoding: chunked\r\n\r\n22\r\n"+message+"\r\n0\r\n\r\n")},
		"chunked with a trailer": {text: with(good, length+"\r\n"+message, "Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n22\r\n"+message+"\r\n0\r\nX: y\r\n\r\n")},
		"chunked and a length":   {text: post(message, "Transfer-Encoding: chunked")},
		"identity":               {text: post(message, "Transfer-Encoding: identity")},
		"chunked, hidden":        {text: post(message, "Transfer-Encoding : chunked")},
		"expect":                 {text: post(message, "Expect: 100-continue"), answers: 2},
		"expect wonders":         {text: post(message, "Expect: wonders")},
		"upgrade":                {text: post(message, "Connection: Upgrade", "Upgrade: websocket")},
		"h2c":                    {text: post(message, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")},
		"te":                     {text: post(message, "TE: trailers")},
		"no host":                {text: with(good, "Host: localhost\r\n", "")},
		"an empty host":          {text: with(good, "Host: localhost", "Host:")},
		"two hosts":              {text: post(message, "Host: localhost")},
		"a bad host":             {text: with(good, "Host: localhost", "Host: a b<>")},
		"a line goes on":         {text: post(message, "X: a", " b")},
		"a space and a colon":    {text: post(message, "X : a")},
		"no colon":               {text: post(message, "X")},
		"no name":                {text: post(message, ": a")},
		"a name with _":          {text: post(message, "X_Y: a")},
		"NUL":                    {text: post(message, "X: a\x00b")},
		"CR":                     {text: post(message, "X: a\rContent-Length: 3")},
		"LF":                     {text: strings.ReplaceAll(good, "\r\n", "\n")},
		"LF in between":          {text: post(message, "X: a\nY: b")},
		"Latin-1":                {text: post(message, "X: \xe4")},
		"UTF-8":                  {text: post(message, "X: ä")},
		"an empty line first":    {text: "\r\n" + good, here: true},
		"two empty lines first":  {text: "\r\n\n\r" + good, here: true},
		"three empty lines":      {text: "\r\n\r\n\r\n" + good},
		"a line break after it":  {text: good + "\r\n" + good, answers: 2, here: true},
		"noise":                  {text: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"},
		"a byte too many":        {text: "x" + good},
	}
}

// Whatever clients send, they are answered as by net/http alone: as the first request of
// a connection, after publishes, in pieces, and when another publish follows.
func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	h := node(t)
	_, addr, by := start(t, h)
	reference := listen(t, std(h, limits()))
	for name, x := range exchanges() {
		x.method, x.answers = cmp.Or(x.method, "POST"), max(x.answers, 1)
		for before := range 3 {
			inHead, inBody := 30, len(x.text)-1
			for _, split := range []int{0, inHead, inBody} {
				t.Run(fmt.Sprintf("%s/%d/%d", name, before, split), func(t *testing.T) {
					want := converse(t, reference, x, before, split)
					if all := strings.Join(want, ""); split > 0 && (strings.Contains(all, "the last") || strings.Contains(all, "closed")) {
						t.Skip("whether the answer arrives is chance if the server closes while the client sends")
					}
					got := converse(t, addr, x, before, split)
					if diff := gocmp.Diff(want, got); diff != "" {
						t.Errorf("net/http answers -, this package +:\n%s", diff)
					}
					served := strings.Fields(by.served())
					if x.here && split != inHead && slices.Contains(served, "net/http") {
						t.Errorf("served by %s, want here", served)
					}
					if !x.here && before > 0 && slices.Contains(served[before:], "here") {
						t.Errorf("served by %s, want net/http from number %d on", served, before)
					}
				})
			}
		}
	}
}

// pipes is a listener for connections that deliver what is written piece by piece.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Line breaks behind a body may come in pieces, each on its own. The request that follows
// two of them is answered, and the one that follows more is refused.
func TestLineBreaksAfterABodyInPieces(t *testing.T) {
	for _, pieces := range []string{"\r", "\n", "\r\n", "\r\n\r\n", "\r\n\r\n\r", "\r\n\r\n\r\n"} {
		for before := range 2 {
			h := &log{Handler: node(t)}
			s, l := publishers.New(std(h, limits())), make(pipes)
			go func() { _ = s.Serve(l) }()
			near, far := net.Pipe()
			l <- far
			c := &client{t, near, bufio.NewReader(near)}
			_ = c.SetDeadline(time.Now().Add(patience))
			for range 1 + before {
				c.send(post(message))
				c.answer("POST")
			}
			c.send(strings.Split(pieces, "")...)
			got, want := "", "HTTP/1.1 202"
			if len(pieces) > len("\r\n\r\n") {
				want = "HTTP/1.1 400"
				go c.send(post(message)) // which nobody reads to its end
			} else {
				c.send(post(message))
			}
			if got = c.answer("POST"); !strings.HasPrefix(got, want) {
				t.Errorf("%q after %d: got %s, want %s", pieces, 1+before, got, want)
			}
			near.Close()
			close(l)
			_ = s.Close()
		}
	}
}

// converse publishes that often, sends what the exchange says in two pieces, and
// publishes once more. It returns all answers.
func converse(t *testing.T, addr string, x exchange, before, split int) (answers []string) {
	c := dial(t, addr)
	defer c.Close()
	for range before {
		c.send(post(message))
		answers = append(answers, c.answer("POST"))
	}
	if split <= 0 || split >= len(x.text) {
		c.send(x.text)
	} else {
		c.send(x.text[:split], x.text[split:])
	}
	for range x.answers {
		answers = append(answers, c.answer(x.method))
		if strings.HasPrefix(answers[len(answers)-1], "closed") {
			return answers
		}
	}
	c.send(post(message))
	return append(answers, c.answer("POST"))
}

// A body may come in pieces, or not at all.
func TestSlowBodies(t *testing.T) {
	h := node(t)
	_, addr, by := start(t, h)
	reference := listen(t, std(h, limits()))
	tests := map[string]func(c *client){
		"in two pieces":    func(c *client) { c.send(head(len(message)), message[:5], message[5:]) },
		"byte by byte":     func(c *client) { c.send(append([]string{head(len(message))}, strings.Split(message, "")...)...) },
		"it stalls":        func(c *client) { c.send(head(len(message)), message[:5]) },
		"refused":          func(c *client) { c.send(with(head(len(message)), "shop", "shoq"), message) },
		"refused, stalls":  func(c *client) { c.send(with(head(len(message)), "shop", "shoq")) },
		"it ends early":    func(c *client) { c.send(head(len(message)), message[:5]); c.closeWrite() },
		"refused and ends": func(c *client) { c.send(with(head(len(message)), "shop", "shoq")); c.closeWrite() },
		"none at all":      func(c *client) { c.send(head(len(message))); c.closeWrite() },
		"half a head":      func(c *client) { c.send(line); c.closeWrite() },
	}
	for name, send := range tests {
		for before := range 2 {
			t.Run(fmt.Sprint(name, "/", before), func(t *testing.T) {
				run := func(addr string) (answers []string) {
					c := dial(t, addr)
					for range before {
						c.send(post(message))
						answers = append(answers, c.answer("POST"))
					}
					send(c)
					// Whether the answer announces the end does not matter where the client
					// has ended the connection.
					answers = append(answers, strings.Replace(c.answer("POST"), "the last\n", "", 1))
					c.send(post(message))
					return append(answers, c.answer("POST"))
				}
				got, want := run(addr), run(reference)
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("net/http answers -, this package +:\n%s", diff)
				}
				if served := by.served(); strings.Contains(served, "net/http") {
					t.Errorf("served by %s", served)
				}
			})
		}
	}
}

func (c *client) closeWrite() { _ = c.Conn.(*net.TCPConn).CloseWrite() }

// Once a request was not simple, net/http keeps the connection, whatever comes.
func TestAConnectionIsGivenBackOnce(t *testing.T) {
	_, addr, by := start(t, node(t))
	c := dial(t, addr)
	for _, text := range []string{post(message), post(message), post(message, "TE: trailers"), post(message), post(message)} {
		c.send(text)
		if got := c.answer("POST"); !strings.HasPrefix(got, "HTTP/1.1 202") {
			t.Fatal(got)
		}
	}
	if got, want := by.served(), "here here net/http net/http net/http"; got != want {
		t.Errorf("served by %s, want %s", got, want)
	}
}

// gate is a handler that says when it has begun, and ends when it may.
type gate struct {
	begun chan context.Context
	end   chan struct{}
}

func newGate() *gate { return &gate{make(chan context.Context, 10), make(chan struct{})} }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.begun <- r.Context()
	select {
	case <-g.end:
	case <-r.Context().Done():
	}
	_, _ = io.WriteString(w, "done")
}

// Requests under way are answered at the end, and connections that wait are closed.
func TestShutdownLetsRequestsFinish(t *testing.T) {
	for _, before := range []int{0, 1} {
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			g := newGate()
			s, addr, _ := start(t, g)
			under, waits := dial(t, addr), dial(t, addr)
			for _, c := range []*client{under, waits}[1-before:] {
				c.send(post(message))
				<-g.begun
				g.end <- struct{}{}
				c.answer("POST")
			}
			under.send(post(message))
			<-g.begun
			done := make(chan error)
			go func() { done <- s.Shutdown(t.Context()) }()
			if got := waits.answer("POST"); got != "closed" {
				t.Errorf("a connection that waits: %s", got)
			}
			select {
			case err := <-done:
				t.Errorf("Shutdown returned %v while a request was under way", err)
			default:
			}
			close(g.end)
			if got := under.answer("POST"); !strings.Contains(got, "done") || !strings.Contains(got, "the last") {
				t.Errorf("the request under way: %s", got)
			}
			if got := under.answer("POST"); got != "closed" {
				t.Errorf("after the last answer: %s", got)
			}
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
}

// Shutdown gives up when its context ends, and Close ends what is under way.
func TestCloseEndsRequests(t *testing.T) {
	g := newGate()
	s, addr, _ := start(t, g)
	c := dial(t, addr)
	c.send(post(message))
	request := <-g.begun
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Shutdown(ctx) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if request.Err() != nil {
		t.Error("Shutdown has ended a request")
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if request.Err() == nil {
		t.Error("Close has returned before the request has ended")
	}
	if got := c.answer("POST"); got != "closed" {
		t.Errorf("the client: %s", got)
	}
}

// A handler can make an answer the last one of its connection, as with net/http.
func TestAHandlerCanCloseTheConnection(t *testing.T) {
	_, addr, _ := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "the last one")
	}))
	c := dial(t, addr)
	c.send(post(message))
	if got := c.answer("POST"); !strings.Contains(got, "the last one") {
		t.Errorf("the answer: %s", got)
	}
	if got := c.answer("POST"); got != "closed" {
		t.Errorf("after it: %s", got)
	}
}

// Serve ends when its listener does, without a request being lost silently.
func TestServeEndsWithItsListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := publishers.New(std(node(t), limits()))
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	c := dial(t, l.Addr().String())
	c.send(post(message))
	c.answer("POST")
	l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	if got := c.answer("POST"); got != "closed" {
		t.Errorf("the connection: %s", got)
	}
}

// A handler that panics costs its connection and nothing else, as in net/http.
func TestAPanicEndsItsConnection(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Panic") != "" {
			panic(http.ErrAbortHandler)
		}
	})
	_, addr, _ := start(t, h)
	for before := range 2 {
		c := dial(t, addr)
		for range before {
			c.send(post(message))
			c.answer("POST")
		}
		c.send(post(message, "Panic: yes"))
		if got := c.answer("POST"); got != "closed" {
			t.Errorf("after %d: %s", before, got)
		}
	}
	c := dial(t, addr)
	c.send(post(message))
	if got := c.answer("POST"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("afterwards: %s", got)
	}
}

// watch has an http.Server tell the states of its connections, too.
func watch(web *http.Server) <-chan http.ConnState {
	states, before := make(chan http.ConnState, 100), web.ConnState
	web.ConnState = func(c net.Conn, state http.ConnState) {
		before(c, state)
		states <- state
	}
	return states
}

func await(t *testing.T, states <-chan http.ConnState, want http.ConnState) {
	t.Helper()
	for limit := time.After(patience); ; {
		select {
		case got := <-states:
			if got == want {
				return
			}
		case <-limit:
			t.Fatalf("no connection is %v", want)
		}
	}
}

// The bound on connections that wait counts those that are served here.
func TestConnectionsThatWaitAreBounded(t *testing.T) {
	l := limits()
	l.IdleConnections = 2
	web := std(node(t), l)
	states := watch(web)
	addr := listen(t, publishers.New(web))
	var all []*client
	for range 3 {
		c := dial(t, addr)
		for range 2 {
			c.send(post(message))
			c.answer("POST")
			await(t, states, http.StateIdle)
		}
		all = append(all, c)
	}
	if got := all[0].answer("POST"); got != "closed" {
		t.Errorf("the one that waited longest: %s", got)
	}
	for _, c := range all[1:] {
		c.send(post(message))
		if got := c.answer("POST"); !strings.HasPrefix(got, "HTTP/1.1 202") {
			t.Errorf("another one: %s", got)
		}
	}
}

// A client that reads no answer is cut off.
func TestWhoReadsNoAnswerIsCutOff(t *testing.T) {
	large := make([]byte, 8<<20)
	web := std(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(large) }), limits())
	states := watch(web)
	c := dial(t, listen(t, publishers.New(web)))
	c.send(post(message))
	await(t, states, http.StateHijacked)
	await(t, states, http.StateClosed)
}

// A connection that nothing comes on is closed.
func TestAConnectionMayNotWaitForEver(t *testing.T) {
	web := std(node(t), limits())
	web.IdleTimeout = 50 * time.Millisecond
	addr := listen(t, publishers.New(web))
	c := dial(t, addr)
	for range 2 {
		c.send(post(message))
		c.answer("POST")
	}
	if got := c.answer("POST"); got != "closed" {
		t.Error(got)
	}
}

// Many publishers that come, publish, do something unusual and go lose nothing.
func TestManyPublishers(t *testing.T) {
	s, addr, _ := start(t, node(t))
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for range 10 {
				c := dial(t, addr)
				for n := range 20 {
					text := post(message)
					if n == 10+i {
						text = post(message, "TE: trailers")
					}
					c.send(text)
					if got := c.answer("POST"); !strings.HasPrefix(got, "HTTP/1.1 202") {
						t.Error(got)
						return
					}
				}
				c.Close()
			}
		})
	}
	all.Wait()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
