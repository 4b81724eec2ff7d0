package load

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1" // RFC 6455 demands it; nothing is kept secret with it
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// timeout bounds connecting, and each request.
const timeout = 10 * time.Second

// parseNode reads the URL of a node. The URL is not part of an error: there may be a
// password in it.
func parseNode(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, errors.New("the node's URL cannot be read: want http://host:port")
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return nil, fmt.Errorf("the node's URL begins with %s://: want http://, https://, ws:// or wss://", u.Scheme)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// connect opens a connection to a node.
func connect(ctx context.Context, u *url.URL, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	var conn net.Conn
	var err error
	if u.Scheme == "https" {
		d := tls.Dialer{Config: config}
		conn, err = d.DialContext(ctx, "tcp", address)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, fmt.Errorf("no answer from a node at %s://%s (see --url): %w", u.Scheme, u.Host, err)
	}
	return conn, nil
}

// A handshake is what a client sends to get a session.
type handshake struct {
	node     *url.URL
	query    url.Values
	protocol string // the subprotocol; empty for none
	token    string // empty for none
}

// upgrade asks for a WebSocket ([RFC 6455 §4.1]). It returns what the server has sent
// behind its answer.
//
// [RFC 6455 §4.1]: https://www.rfc-editor.org/rfc/rfc6455#section-4.1
func (h handshake) upgrade(conn net.Conn, in *bufio.Reader) (early []byte, err error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // it never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, h.request(key)); err != nil {
		return nil, err
	}
	in.Reset(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("the node did not answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, refusal(answer)
	}
	got := answer.Header
	switch {
	case !strings.EqualFold(got.Get("Upgrade"), "websocket"), !strings.EqualFold(got.Get("Connection"), "Upgrade"),
		got.Get("Sec-WebSocket-Accept") != acceptOf(key):
		return nil, errors.New("what answers there does not speak WebSocket")
	case got.Get("Sec-WebSocket-Protocol") != h.protocol:
		return nil, fmt.Errorf("what answers there speaks %q, not %q", got.Get("Sec-WebSocket-Protocol"), h.protocol)
	case got.Get("Sec-WebSocket-Extensions") != "":
		return nil, errors.New("what answers there uses an extension that was not asked for")
	}
	early, err = in.Peek(in.Buffered())
	return early, errors.Join(err, conn.SetDeadline(time.Time{}))
}

func (h handshake) request(key string) string {
	var b strings.Builder
	b.WriteString("GET " + h.node.EscapedPath() + "/ws?" + h.query.Encode() + " HTTP/1.1\r\n")
	b.WriteString("Host: " + h.node.Host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
	b.WriteString("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n")
	if h.protocol != "" {
		b.WriteString("Sec-WebSocket-Protocol: " + h.protocol + "\r\n")
	}
	if h.token != "" {
		b.WriteString("Authorization: Bearer " + h.token + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// refusal says what a node answered instead of a session.
func refusal(answer *http.Response) error {
	var problem struct{ Detail string }
	_ = json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&problem) // without it there is the status
	text := fmt.Sprintf("the node answered %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	switch {
	case problem.Detail != "":
		text += ": " + problem.Detail
	case answer.StatusCode < 500:
		text += ": is there a Fanfare node at this URL?"
	}
	return errors.New(text)
}
