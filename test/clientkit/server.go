package clientkit

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	protocol    = "fanfare.v1.json"
	tokenPrefix = "fanfare.token."
)

// A server plays a node. It hands each request for a connection over to the scenario.
type server struct {
	*httptest.Server
	log    *timeline
	visits chan *Visit
	gone   chan struct{}

	mu       sync.Mutex
	standing *answer // guarded by mu; the answer to all requests, nil if the scenario answers
	count    int     // guarded by mu; the number of visits
}

// An answer is a status other than 101 and 200.
type answer struct {
	status     int
	retryAfter string
	byProxy    bool // it is not a node's
}

func newServer(log *timeline) *server {
	s := &server{log: log, visits: make(chan *Visit, 100), gone: make(chan struct{})}
	s.Server = httptest.NewServer(s)
	return s
}

func (s *server) stop() {
	close(s.gone)
	s.CloseClientConnections()
	s.Close()
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	allowOrigin(w.Header(), r)
	s.mu.Lock()
	standing := s.standing
	s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/")
	switch {
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
	case path != "ws" && path != "sse":
		http.NotFound(w, r)
	case standing != nil:
		s.log.add("   node: %s: refused with %d", path, standing.status)
		standing.write(w)
	case r.URL.Query().Get("check") != "":
		w.WriteHeader(http.StatusNoContent)
	default:
		s.receive(w, r, path)
	}
}

// receive hands a request over, and returns when the connection has ended.
func (s *server) receive(w http.ResponseWriter, r *http.Request, path string) {
	s.mu.Lock()
	s.count++
	name := fmt.Sprintf("%s%d", path, s.count)
	v := &Visit{s: s, w: w, r: r, via: path, name: name, at: time.Now(), done: make(chan struct{})}
	s.mu.Unlock()
	s.log.add("client: %s asks %s", v.name, r.URL.RawQuery)
	select {
	case s.visits <- v:
	case <-s.gone:
		return
	}
	select {
	case <-v.done:
		if v.cut {
			panic(http.ErrAbortHandler)
		}
	case <-s.gone:
	case <-r.Context().Done(): // the client has given up; a WebSocket's context never ends
	}
}

// allowOrigin lets a page of another origin ask.
func allowOrigin(h http.Header, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Allow-Headers", "Authorization, Last-Event-ID")
	}
}

func (a *answer) write(w http.ResponseWriter) {
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	if a.byProxy {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(a.status)
		fmt.Fprint(w, "<h1>no node here</h1>")
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(a.status)
	fmt.Fprintf(w, `{"status":%d,"detail":"the script says no"}`, a.status)
}

// A Visit is a request for a connection, which the scenario accepts or refuses.
type Visit struct {
	s    *server
	w    http.ResponseWriter
	r    *http.Request
	via  string // ws or sse
	name string
	at   time.Time // when the request came
	done chan struct{}
	cut  bool // set before done is closed: break the connection
}

// lists returns the elements of a parameter that is a list with commas and may be
// repeated.
func (v *Visit) lists(name string) (all []string) {
	for _, value := range v.r.URL.Query()[name] {
		for element := range strings.SplitSeq(value, ",") {
			if element != "" {
				all = append(all, element)
			}
		}
	}
	return all
}

// systems returns the names of the systems that the client asks for, sorted.
func (v *Visit) systems() []string { return slices.Sorted(slices.Values(v.lists("systems"))) }

// rooms returns the rooms that the address names, sorted.
func (v *Visit) rooms() []string {
	return slices.Sorted(slices.Values(append(v.lists("rooms"), v.r.URL.Query()["room"]...)))
}

// resume returns the cursors that the client resumes from.
func (v *Visit) resume() map[string]string {
	cursors := map[string]string{}
	for _, element := range v.lists("resume") {
		system, cursor, _ := strings.Cut(element, ":")
		cursors[system] = cursor
	}
	return cursors
}

// token returns the token that the client gave; "" if none.
func (v *Visit) token() string {
	for _, p := range websocket.Subprotocols(v.r) {
		if token, ok := strings.CutPrefix(p, tokenPrefix); ok {
			return token
		}
	}
	if token, ok := strings.CutPrefix(v.r.Header.Get("Authorization"), "Bearer "); ok {
		return token
	}
	return v.r.URL.Query().Get("token")
}

// refuse answers the request with a status.
func (v *Visit) refuse(a answer) {
	v.s.log.add("  node: %s: refused with %d", v.name, a.status)
	a.write(v.w)
	close(v.done)
}

// accept opens the connection. The error says what is wrong with the request.
func (v *Visit) accept() (*Conn, error) {
	c := &Conn{Visit: v, heard: make(chan Op, 1000), ended: make(chan struct{})}
	if v.via == "sse" {
		v.w.Header().Set("Content-Type", "text/event-stream")
		v.w.Header().Set("Cache-Control", "no-store")
		v.w.WriteHeader(http.StatusOK)
		go c.awaitStream()
		return c, nil
	}
	if !slices.Contains(websocket.Subprotocols(v.r), protocol) {
		close(v.done)
		return nil, fmt.Errorf("%s: the client does not offer the subprotocol %s", v.name, protocol)
	}
	anyOrigin := func(*http.Request) bool { return true }
	upgrader := websocket.Upgrader{Subprotocols: []string{protocol}, CheckOrigin: anyOrigin}
	ws, err := upgrader.Upgrade(v.w, v.r, nil)
	if err != nil {
		close(v.done)
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	c.ws = ws
	go c.read()
	return c, nil
}

// A Conn is a connection that the scenario has accepted.
type Conn struct {
	*Visit
	ws    *websocket.Conn // nil for an EventSource
	heard chan Op         // what the client sends
	ended chan struct{}   // closed when the connection has ended
	code  int             // how it ended; set before ended is closed

	mu    sync.Mutex // one op is written at a time
	event int        // guarded by mu; the number of the newest event of a stream
	left  bool       // guarded by mu; done is closed
}

// awaitStream waits for the end of an EventSource's connection.
func (c *Conn) awaitStream() {
	select {
	case <-c.r.Context().Done():
	case <-c.done:
	}
	close(c.ended)
}

// read reads what the client sends until the connection has ended.
func (c *Conn) read() {
	defer close(c.ended)
	defer c.leave(false)
	defer c.ws.Close() // after the close frames it is for the node to end the TCP connection
	for {
		_, frame, err := c.ws.ReadMessage()
		if err != nil {
			c.code = websocket.CloseAbnormalClosure
			if closed, ok := err.(*websocket.CloseError); ok {
				c.code = closed.Code
			}
			c.s.log.add("client: %s ended: %d", c.name, c.code)
			return
		}
		for line := range strings.SplitSeq(string(frame), "\n") {
			var o Op
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				o = Op{"op": "no JSON: " + line}
			}
			c.s.log.add("client: %s says %s", c.name, line)
			select {
			case c.heard <- o:
			case <-c.s.gone:
				return
			}
		}
	}
}

// leave lets the handler of the request return.
func (c *Conn) leave(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.left {
		c.left, c.cut = true, cut
		close(c.done)
	}
}

// say sends ops: in one frame, or one event each.
func (c *Conn) say(ops ...Op) {
	lines := make([]string, len(ops))
	for i, o := range ops {
		text, _ := json.Marshal(o) // scenarios write ops that can be encoded
		lines[i] = string(text)
	}
	c.s.log.add("  node: %s says %s", c.name, strings.Join(lines, " "))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ws != nil {
		_ = c.ws.WriteMessage(websocket.TextMessage, []byte(strings.Join(lines, "\n"))) // read tells of an error
		return
	}
	if c.left {
		return
	}
	for _, line := range lines {
		c.event++
		fmt.Fprintf(c.w, "id: %d\ndata: %s\n\n", c.event, line)
	}
	_ = http.NewResponseController(c.w).Flush()
}

// hello says hello: the client resumes from the cursors that it gave, and begins at 0 in
// other systems.
func (c *Conn) hello() { c.helloAt(nil) }

// helloAt says hello with other cursors in some systems; nil is null.
func (c *Conn) helloAt(other map[string]any) {
	systems, resume := map[string]any{}, c.resume()
	for _, name := range c.systems() {
		if cursor, ok := resume[name]; ok {
			systems[name] = Op{"cursor": cursor, "resumed": true}
		} else {
			systems[name] = Op{"cursor": cursor0(name), "resumed": false}
		}
	}
	for name, cursor := range maps.All(other) {
		systems[name] = Op{"cursor": cursor, "resumed": false}
	}
	c.say(Op{"op": "hello", "session": "S-" + c.name, "node": "n1", "user": "alice", "systems": systems})
}

// close ends the connection with a close code.
func (c *Conn) close(code int, reason string) {
	c.s.log.add("  node: %s closes with %d %s", c.name, code, reason)
	if c.ws == nil {
		c.leave(false)
		return
	}
	text := websocket.FormatCloseMessage(code, reason)
	_ = c.ws.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second))
}

// breakOff breaks the connection without a word.
func (c *Conn) breakOff() {
	c.s.log.add("  node: %s breaks", c.name)
	if c.ws != nil {
		_ = c.ws.NetConn().Close()
	}
	c.leave(c.ws == nil)
}

// cursor0 is where a system begins.
func cursor0(system string) string { return system + "-0" }

// query returns a parameter of the request.
func (v *Visit) query() url.Values { return v.r.URL.Query() }
