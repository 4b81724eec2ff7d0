package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

// A Message is something to publish. Its slices are valid until Publish returns.
type Message struct{ ID, To, Data []byte }

// An Outlet is a publisher's way to the bus. It is used by one goroutine at a time.
type Outlet interface {
	// Publish publishes messages of a system, in order, and says how many of them,
	// counted from the first, are certainly on the bus. The others are published
	// again, with the same ids, unless the error wraps ErrFinal.
	Publish(ctx context.Context, system string, msgs []Message) (accepted int, err error)
	// Close releases what the outlet holds.
	Close() error
}

// ErrFinal marks an error of [Outlet.Publish] after which it is no use to try again.
var ErrFinal = errors.New("publishing was refused")

// An httpOutlet posts to a node over one connection that is kept. It writes requests
// itself, because the client of net/http would cost more than the node that is
// measured.
type httpOutlet struct {
	node *url.URL
	tls  *tls.Config
	head string // the headers of every request
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	body []byte
}

func newHTTPOutlet(node *url.URL, key string, config *tls.Config) *httpOutlet {
	head := " HTTP/1.1\r\nHost: " + node.Host + "\r\nContent-Type: application/json\r\n"
	if key != "" {
		head += "Authorization: Bearer " + key + "\r\n"
	}
	return &httpOutlet{node: node, tls: config, head: head + "Content-Length: ", in: bufio.NewReader(nil)}
}

// Publish posts the messages: one as an object, several as an array.
func (h *httpOutlet) Publish(ctx context.Context, system string, msgs []Message) (int, error) {
	if h.conn == nil {
		conn, err := connect(ctx, h.node, h.tls)
		if err != nil {
			return 0, err
		}
		h.conn = conn
		h.in.Reset(conn)
	}
	answer, err := h.exchange(system, msgs)
	if err != nil {
		return 0, errors.Join(fmt.Errorf("publishing: %w", err), h.Close())
	}
	if answer.StatusCode != http.StatusAccepted {
		err = client.ReadRefusal(answer.StatusCode, answer.Body)
	}
	_, failed := io.Copy(io.Discard, answer.Body)
	if failed != nil || answer.Close {
		_ = h.Close() // the next request opens another one
	}
	var refused *client.Refusal
	switch {
	case !errors.As(err, &refused):
		return len(msgs), nil
	case refused.Status < 500 && refused.Status != http.StatusTooManyRequests:
		return 0, fmt.Errorf("%w: %w", ErrFinal, err)
	}
	return min(refused.Accepted, len(msgs)), err
}

// exchange sends a request and reads the beginning of the answer.
func (h *httpOutlet) exchange(system string, msgs []Message) (*http.Response, error) {
	h.body = h.body[:0]
	if len(msgs) > 1 {
		h.body = append(h.body, '[')
	}
	for i, m := range msgs {
		if i > 0 {
			h.body = append(h.body, ',')
		}
		h.body = append(append(append(h.body, `{"to":"`...), m.To...), `","id":"`...)
		h.body = append(append(append(append(h.body, m.ID...), `","data":`...), m.Data...), '}')
	}
	if len(msgs) > 1 {
		h.body = append(h.body, ']')
	}
	h.out = append(append(h.out[:0], "POST "...), h.node.EscapedPath()...)
	h.out = append(append(append(h.out, "/v1/systems/"...), system...), "/messages"...)
	h.out = strconv.AppendInt(append(h.out, h.head...), int64(len(h.body)), 10)
	h.out = append(append(h.out, "\r\n\r\n"...), h.body...)
	if err := h.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if _, err := h.conn.Write(h.out); err != nil {
		return nil, err
	}
	return http.ReadResponse(h.in, nil)
}

// Close closes the connection. Publish opens a new one.
func (h *httpOutlet) Close() error {
	if h.conn == nil {
		return nil
	}
	conn := h.conn
	h.conn = nil
	return conn.Close()
}

// NewLines returns an outlet that writes a line for each message to a TCP address:
// the target, a space and the data. Nobody answers. It is for programs that show
// what a load costs without a node, such as test/bench/limit.
func NewLines(ctx context.Context, address string) (Outlet, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &lines{conn: conn}, nil
}

type lines struct {
	conn net.Conn
	out  []byte
}

func (l *lines) Publish(_ context.Context, _ string, msgs []Message) (int, error) {
	l.out = l.out[:0]
	for _, m := range msgs {
		l.out = append(append(append(append(l.out, m.To...), ' '), m.Data...), '\n')
	}
	if err := l.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return 0, err
	}
	if _, err := l.conn.Write(l.out); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrFinal, err)
	}
	return len(msgs), nil
}

func (l *lines) Close() error { return l.conn.Close() }
