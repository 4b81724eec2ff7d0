// Package connections bounds what the connections of a node's HTTP server can
// cost while they are no sessions: in time, in number, and in the system's
// memory. What a handler can bound, the node bounds itself, in whatever server
// it runs; the rest is here.
package connections

import (
	"container/list"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/loglimit"
)

const (
	headerTime  = 10 * time.Second // a client's to send the header of a request
	headerBytes = 64 << 10         // of a request: cursors and tokens are in there
	idleTime    = 2 * time.Minute  // between two requests
)

// Server returns a server for h whose connections are bounded.
func Server(h http.Handler, limits fanfare.LimitsConfig, log *slog.Logger) *http.Server {
	waiting := &waiting{most: limits.IdleConnections, log: log, places: map[net.Conn]*list.Element{}}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       headerTime + limits.BodyTime, // the node is stricter, but for what never gets to it
		WriteTimeout:      limits.AnswerTime,            // sessions have deadlines of their own
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ConnState:         waiting.changed,
		ErrorLog:          slog.NewLogLogger(loglimit.New(log.Handler()).Kind("http"), slog.LevelDebug), // what clients do wrong
	}
}

// Bound returns a listener whose connections have at most so many bytes in the
// system's buffers, each way. The system would let a client that sends requests
// and reads no answers grow them to megabytes.
func Bound(l net.Listener, bytes fanfare.Size) net.Listener { return &bounded{l, int(bytes)} }

type bounded struct {
	net.Listener
	bytes int
}

// Accept returns the next connection. One whose buffers cannot be set is as
// the system makes it.
func (b *bounded) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(b.bytes)
		_ = tcp.SetWriteBuffer(b.bytes)
	}
	return c, err
}

// waiting holds the connections that wait for their next request. It is safe
// for concurrent use.
type waiting struct {
	most int
	log  *slog.Logger

	mu     sync.Mutex
	queue  list.List                  // of net.Conn, that which has waited longest first; guarded by mu
	places map[net.Conn]*list.Element // in queue; guarded by mu
	ended  int                        // since the last line in the log; guarded by mu
	told   time.Time                  // when that was; guarded by mu
}

// changed is an [http.Server]'s ConnState. A connection that is new does not
// count: it has to send a request soon.
func (w *waiting) changed(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		return
	}
	if over := w.note(c, state == http.StateIdle); over != nil {
		_ = over.Close() // its goroutine sees that
	}
}

// note returns the connection that has to go for c, if one has to.
func (w *waiting) note(c net.Conn, waits bool) (over net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if place := w.places[c]; place != nil {
		w.queue.Remove(place)
		delete(w.places, c)
	}
	if !waits {
		return nil
	}
	w.places[c] = w.queue.PushBack(c)
	if len(w.places) <= w.most {
		return nil
	}
	over = w.queue.Remove(w.queue.Front()).(net.Conn)
	delete(w.places, over)
	w.tell()
	return over
}

// tellEvery is how often the log may say that connections are ended.
const tellEvery = time.Minute

func (w *waiting) tell() {
	w.ended++
	if now := time.Now(); now.Sub(w.told) >= tellEvery {
		w.log.Warn("more connections wait for their next request than limits.idle_connections: ended those that waited longest",
			"limit", w.most, "ended", w.ended)
		w.told, w.ended = now, 0
	}
}
