package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

const (
	neighbours   = 300
	roomMessages = 300
	fillBytes    = 60_000 // of a message
	fillBatch    = 60     // messages, in one request
	fillBatches  = 3      // together more than all buffers on the way take
)

// A client that stops reading falls behind, and is closed when it has read nothing
// for limits.stall. Its neighbours in the room do not notice.
func TestStalledClientIsClosedAndNeighboursLive(t *testing.T) {
	c := newCluster(t, 1, "memory://", settings{"LIMITS_STALL": "6s"})
	n := c.nodes[0]
	stalled := c.dialDeaf(t, "slow")
	received := joinRoom(t, c)
	eventually(t, 30*time.Second, "all sessions are attached", func() error {
		if got := n.metric(`fanfare_attached_sessions{system="orders"}`); got != neighbours+1 {
			return fmt.Errorf("%v are", got)
		}
		return nil
	})

	// Messages for the deaf client alone fill its outbox and all buffers on the way.
	// From then on it stays behind, and any other session that falls behind is
	// counted.
	one := fmt.Sprintf(`{"to":"user:slow","data":"%s"}`, strings.Repeat("x", fillBytes))
	for range fillBatches {
		mustAccept(t, c, "["+one+strings.Repeat(","+one, fillBatch-1)+"]")
	}
	eventually(t, 10*time.Second, "the deaf client has fallen back", func() error {
		behind, closed := n.metric(`fanfare_behind_sessions{system="orders"}`), n.metric(`fanfare_sessions_closed_total{code="4008"}`)
		if behind+closed != 1 { // on a slow machine it may be closed by now
			return fmt.Errorf("%v sessions are behind, %v were closed as slow", behind, closed)
		}
		return nil
	})
	fellBack := n.metric(`fanfare_outbox_full_total{system="orders"}`)
	for i := range roomMessages {
		mustAccept(t, c, fmt.Sprintf(`{"to":"room:hall","data":{"p":"room","n":%d}}`, i+1))
	}
	if err := received(); err != nil {
		t.Fatal(err)
	}
	if now := n.metric(`fanfare_outbox_full_total{system="orders"}`); fellBack < 1 || now != fellBack {
		t.Errorf("%v sessions fell back before the room's messages, %v after: its neighbours did", fellBack, now)
	}
	eventually(t, 15*time.Second, "the deaf client is closed as slow, and only it", func() error {
		closed, here := n.metric(`fanfare_sessions_closed_total{code="4008"}`), n.metric("fanfare_sessions")
		if closed != 1 || here != neighbours {
			return fmt.Errorf("%v closed with 4008, %v sessions left", closed, here)
		}
		return nil
	})
	if err := readToEnd(stalled); err != nil {
		t.Errorf("the deaf client's connection: %v", err)
	}
}

// dialDeaf connects a session that never reads what it is told.
func (c *cluster) dialDeaf(t *testing.T, user string) net.Conn {
	t.Helper()
	dialer := net.Dialer{Timeout: 5 * time.Second, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		control := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		return errors.Join(control, err)
	}}
	conn, err := dialer.Dial("tcp", c.front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /ws?systems=orders&rooms=orders/hall HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: fanfare.v1.json\r\nAuthorization: Bearer %s\r\n\r\n",
		c.front, base64.StdEncoding.EncodeToString(random(16)), c.token(user, "orders"))
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v %v", res, err)
	}
	return conn
}

// joinRoom lets neighbours connect and read. Received waits until each has got
// all of the room's messages in order, and nothing else.
func joinRoom(t *testing.T, c *cluster) (received func() error) {
	t.Helper()
	var reading errgroup.Group
	for i := range neighbours {
		conn := c.dial(t, fmt.Sprintf("n%d", i), "systems=orders&rooms=orders/hall")
		_ = conn.SetReadDeadline(time.Now().Add(60 * time.Second))
		reading.Go(func() error { return readRoom(conn) })
	}
	return reading.Wait
}

func readRoom(conn *websocket.Conn) error {
	for next := 1; next <= roomMessages; {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("before message %d: %w", next, err)
		}
		for line := range bytes.Lines(frame) {
			o, err := readOp(line)
			switch {
			case err != nil:
				return err
			case o.Op == "hello", o.Op == "cursor":
				continue
			case o.Op != "message" || readLabel(o.Data) != label{"room", next}:
				return fmt.Errorf("got %s, want message %d", line, next)
			}
			next++
		}
	}
	return nil
}

// dial opens a fanfare.v1.json session.
func (c *cluster) dial(t *testing.T, user, query string) *websocket.Conn {
	t.Helper()
	conn, res, err := c.tryDial(user, query)
	if err != nil {
		t.Fatalf("dial as %s: %v %v", user, err, res)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (c *cluster) tryDial(user, query string) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	d := websocket.Dialer{Subprotocols: []string{"fanfare.v1.json"}}
	u := url.URL{Scheme: "ws", Host: c.front, Path: "/ws", RawQuery: query}
	return d.DialContext(ctx, u.String(), http.Header{"Authorization": {"Bearer " + c.token(user, "orders", "chat")}})
}

func mustAccept(t *testing.T, c *cluster, body string) {
	t.Helper()
	if a, err := c.post("orders", body); err != nil || a.status != http.StatusAccepted {
		t.Fatalf("publish: %d %s %v", a.status, a.body, err)
	}
}

// readToEnd reads what is left in the buffers, and says whether that ends.
func readToEnd(conn net.Conn) error {
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := io.Copy(io.Discard, conn)
	if errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}
