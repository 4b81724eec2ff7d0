// Command limit is what a push server costs at the very least: `make bench` measures
// it beside a node. It upgrades connections, keeps them, and writes ready-made frames
// in a plain loop from the goroutine that has read the message. It has no queue, no
// bus, no window, no tokens, and no protection from slow clients.
//
//	limit -listen 127.0.0.1:0 -publish 127.0.0.1:0   # a system call for each message and client
//	limit … -join 16                                 # up to 16 waiting messages in one
//	limit … -melody                                  # connections as melody has them: for their memory
//
// It prints both addresses. Messages come as lines over TCP: a target, a space and the
// data. `fanfare bench --via lines://ADDRESS` writes them.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A server holds the connections.
type server struct {
	join     int // messages in one write, at most
	upgrader websocket.Upgrader

	mu    sync.RWMutex
	users map[string]net.Conn // guarded by mu
	all   []net.Conn          // guarded by mu; replaced, never changed in place
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address for clients and metrics")
	publish := flag.String("publish", "127.0.0.1:0", "address for lines with messages")
	join := flag.Int("join", 1, "write up to this many waiting messages for everyone at once")
	bare := flag.Bool("melody", false, "let melody keep the connections; nothing is delivered")
	flag.Parse()
	log.SetFlags(0)
	s := &server{join: *join, users: map[string]net.Conn{}}
	s.upgrader = websocket.Upgrader{
		ReadBufferSize: 256, WriteBufferSize: 256, CheckOrigin: func(*http.Request) bool { return true },
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.Handler())
	if *bare {
		mux.HandleFunc("GET /ws", withMelody())
	} else {
		mux.HandleFunc("GET /ws", s.upgrade)
	}
	log.Fatal(s.serve(*listen, *publish, mux))
}

// serve listens, prints both addresses, and serves until something fails.
func (s *server) serve(listen, publish string, mux http.Handler) error {
	clients, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	publishers, err := net.Listen("tcp", publish)
	if err != nil {
		return err
	}
	fmt.Println(clients.Addr(), publishers.Addr())
	go func() {
		for {
			conn, err := publishers.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go s.follow(conn)
		}
	}()
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return web.Serve(clients)
}

// upgrade makes a client of a request.
func (s *server) upgrade(w http.ResponseWriter, r *http.Request) {
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	conn := ws.NetConn()
	s.mu.Lock()
	s.users["user:"+r.URL.Query().Get("user")] = conn
	s.all = append(s.all, conn)
	s.mu.Unlock()
	go func() { // it reads only to notice the end
		var b [16]byte
		for {
			if _, err := conn.Read(b[:]); err != nil {
				_ = conn.Close()
				return
			}
		}
	}()
}

// follow writes the messages of one publisher to the clients, until it ends. Errors of
// writing are the clients' own.
func (s *server) follow(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 128<<10)
	var buf []byte
	for {
		target, data, err := next(in)
		if err != nil {
			return
		}
		everyone := string(target) == "*"
		s.mu.RLock()
		all, one := s.all, s.users[string(target)]
		s.mu.RUnlock()
		buf = appendFrame(buf[:0], data)
		for i := 1; everyone && i < s.join && waiting(in); i++ {
			if _, data, err = next(in); err != nil {
				return
			}
			buf = appendFrame(buf, data)
		}
		switch {
		case everyone:
			for _, c := range all {
				_, _ = c.Write(buf)
			}
		case one != nil:
			_, _ = one.Write(buf)
		}
	}
}

// next reads a line.
func next(in *bufio.Reader) (target, data []byte, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, nil, err
	}
	target, data, _ = bytes.Cut(line[:len(line)-1], []byte(" "))
	return target, data, nil
}

// waiting reports whether another message for everyone has come already.
func waiting(in *bufio.Reader) bool {
	b, _ := in.Peek(in.Buffered())
	return len(b) > 0 && b[0] == '*' && bytes.IndexByte(b, '\n') >= 0
}

// appendFrame appends a text frame ([RFC 6455 §5.2]) of less than 64 KiB.
//
// [RFC 6455 §5.2]: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
func appendFrame(b, data []byte) []byte {
	b = append(b, 0x81)
	if len(data) < 126 {
		b = append(b, byte(len(data)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(len(data)))
	}
	return append(b, data...)
}

// withMelody gives connections to melody, as cheaply as that is possible: net/http
// keeps neither a goroutine nor buffers for them.
func withMelody() http.HandlerFunc {
	m := melody.New()
	m.Config.MessageBufferSize = 8
	m.Upgrader.ReadBufferSize, m.Upgrader.WriteBufferSize = 256, 256
	m.Upgrader.WriteBufferPool = &sync.Pool{}
	m.Upgrader.CheckOrigin = func(*http.Request) bool { return true }
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Time{})
		slim := &http.Request{Method: r.Method, Host: r.Host, Header: http.Header{}}
		for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Version", "Sec-Websocket-Key"} {
			slim.Header[name] = r.Header[name]
		}
		go func() { _ = m.HandleRequest(&taken{conn: conn}, slim) }() // melody closes it
	}
}

// A taken connection is one that was hijacked already, and can be hijacked again.
type taken struct {
	http.ResponseWriter // nil: the upgrade writes to the connection itself
	conn                net.Conn
}

// Header is for headers of the answer that are not the upgrade's own: there are none.
func (t *taken) Header() http.Header { return http.Header{} }

// Hijack returns the connection, with buffers that nothing is left in.
func (t *taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return t.conn, bufio.NewReadWriter(bufio.NewReaderSize(t.conn, 16), bufio.NewWriterSize(t.conn, 16)), nil
}
