// Package connections bounds what the connections of a node's HTTP server cost
// while they are no sessions: in time, in number, and in the operating system's
// memory. A node bounds by itself what a handler can bound, in whatever server it
// runs; what only the server can bound is here.
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
	headerTime  = 10 * time.Second // for a client to send the header of a request
	headerBytes = 64 << 10         // of a request's header, which holds cursors and tokens
	idleTime    = 2 * time.Minute  // between two requests of a connection
)

// Server returns a server for h whose connections are bounded.
func Server(h http.Handler, limits fanfare.LimitsConfig, log *slog.Logger) *http.Server {
	idle := &idleQueue{
		limit: limits.IdleConnections, log: log, elements: map[net.Conn]*list.Element{},
	}
	// What http.Server logs is what clients do wrong, and they can do it often.
	clientFaults := loglimit.New(log.Handler()).Kind("http")
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		// The node is stricter, but requests that it does not answer need a bound, too.
		ReadTimeout:    headerTime + limits.BodyTime,
		WriteTimeout:   limits.AnswerTime, // sessions have deadlines of their own
		IdleTimeout:    idleTime,
		MaxHeaderBytes: headerBytes,
		ConnState:      idle.changed,
		ErrorLog:       slog.NewLogLogger(clientFaults, slog.LevelDebug),
	}
}

// An idleQueue holds the connections that wait for their next request. It is safe
// for concurrent use.
type idleQueue struct {
	limit int
	log   *slog.Logger

	mu       sync.Mutex
	queue    list.List                  // of net.Conn, longest wait first; guarded by mu
	elements map[net.Conn]*list.Element // of queue; guarded by mu
	ended    int                        // connections since the last log line; guarded by mu
	logged   time.Time                  // when that line was written; guarded by mu
}

// changed is the ConnState of an [http.Server]. A new connection does not count:
// it has to send a request within headerTime.
func (q *idleQueue) changed(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		return
	}
	if over := q.update(c, state == http.StateIdle); over != nil {
		_ = over.Close() // the goroutine that serves it sees this
	}
}

// update puts c into the queue or takes it out. It returns the connection that
// has to be closed because there is no more room, or nil.
func (q *idleQueue) update(c net.Conn, isIdle bool) (over net.Conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.elements[c]; e != nil {
		q.queue.Remove(e)
		delete(q.elements, c)
	}
	if !isIdle {
		return nil
	}
	q.elements[c] = q.queue.PushBack(c)
	if len(q.elements) <= q.limit {
		return nil
	}
	over = q.queue.Remove(q.queue.Front()).(net.Conn)
	delete(q.elements, over)
	q.logEnded()
	return over
}

// logEvery is how often the log may say that connections are ended.
const logEvery = time.Minute

// logEnded counts a connection that is ended, and logs from time to time. q.mu is
// held.
func (q *idleQueue) logEnded() {
	q.ended++
	if now := time.Now(); now.Sub(q.logged) >= logEvery {
		q.log.Warn("more connections wait for their next request than limits.idle_connections: "+
			"ended those that waited longest", "limit", q.limit, "ended", q.ended)
		q.logged, q.ended = now, 0
	}
}
