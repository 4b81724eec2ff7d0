package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// A guest is one client, which notes what it is told, and when.
type guest struct {
	what string // for failures
	kind kind
	shut func()        // ends the connection without a word
	done chan struct{} // closed when the connection has ended
	send func(text string) error

	mu   sync.Mutex
	told []notice // guarded by mu
	raw  [][]byte // what told was read from; guarded by mu
	end  ending   // guarded by mu; of an SSE connection, what its last op says
}

// A kind is how a device is connected.
type kind string

const (
	overV1    kind = "fanfare.v1.json"
	overPlain kind = "fanfare.plain"
	overSSE   kind = "SSE"
)

// A notice is an op or, of a plain client, a message.
type notice struct {
	Op, System, Room, Reason, By, Node, Session, Cursor string

	Code                json.RawMessage
	Reconnect           *bool
	Count               int
	Users, Joined, Left []string
	Data                json.RawMessage

	at time.Time
}

// An ending says how a connection has ended.
type ending struct {
	at     time.Time
	code   int // 0 if nothing was said
	reason string
	err    error
}

// A refusal is the answer to a device that was not let in.
type refusal struct {
	status int
	body   string
}

func (r *refusal) Error() string { return fmt.Sprintf("refused with %d %s", r.status, r.body) }

// pass returns a token for orders, good for its rooms and for seeing who is there.
// Claims replace what it would say otherwise.
func (p *controlled) pass(user string, claims jwt.MapClaims) string {
	all := jwt.MapClaims{
		"sub": user, "exp": time.Now().Add(time.Hour).Unix(),
		"systems": []string{"orders"}, "rooms": []string{"orders/*"}, "presence": []string{"orders/*", "orders/"},
	}
	for name, value := range claims {
		all[name] = value
	}
	return p.sign(all)
}

// connect lets a device of the token's user connect. The error is a [*refusal] if it is
// not let in.
func (p *controlled) connect(k kind, addr, token, query string) (*guest, error) {
	d := &guest{what: fmt.Sprintf("a device over %s at %s", k, addr), kind: k, done: make(chan struct{})}
	var err error
	if query = "systems=orders" + query; k == overSSE {
		err = d.openEvents(p, addr, token, query)
	} else {
		err = d.openSocket(p, addr, token, query)
	}
	return d, err
}

func (d *guest) openSocket(p *controlled, addr, token, query string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	dialer := websocket.Dialer{NetDialContext: p.dial, Subprotocols: []string{string(d.kind)}}
	conn, res, err := dialer.DialContext(ctx, "ws://"+addr+"/ws?"+query, http.Header{"Authorization": {"Bearer " + token}})
	if errors.Is(err, websocket.ErrBadHandshake) {
		body, _ := io.ReadAll(res.Body)
		return &refusal{res.StatusCode, string(body)}
	}
	if err != nil {
		return err
	}
	d.shut = func() { conn.Close(); <-d.done }
	d.send = func(text string) error { return conn.WriteMessage(websocket.TextMessage, []byte(text)) }
	go func() {
		defer close(d.done)
		defer conn.Close()
		for {
			_, frame, err := conn.ReadMessage()
			if err != nil {
				d.ended(err)
				return
			}
			d.hear(frame)
		}
	}()
	return nil
}

func (d *guest) openEvents(p *controlled, addr, token, query string) error {
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/sse?"+query, nil)
	if err != nil {
		cancel()
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/event-stream")
	res, err := p.http.Do(req)
	if err != nil {
		cancel()
		return err
	}
	if res.StatusCode != http.StatusOK {
		defer cancel()
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return &refusal{res.StatusCode, string(body)}
	}
	d.shut = func() { cancel(); <-d.done }
	go func() {
		defer close(d.done)
		defer cancel()
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				d.hear([]byte(data))
			}
		}
		d.ended(lines.Err())
	}()
	return nil
}

func (d *guest) hear(frame []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.kind == overPlain {
		d.told = append(d.told, notice{Op: "message", Data: frame, at: now})
		return
	}
	for line := range bytes.Lines(frame) {
		n := notice{at: now}
		if err := json.Unmarshal(line, &n); err != nil {
			n.Op, n.Reason = "unreadable", err.Error()
		}
		d.raw = append(d.raw, bytes.Clone(line))
		if d.told = append(d.told, n); n.Op == "close" {
			d.end.at, d.end.reason = now, n.Reason
			_ = json.Unmarshal(n.Code, &d.end.code) // 0 if it is no number
		}
	}
}

func (d *guest) ended(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.end.err = err; d.end.at.IsZero() {
		d.end.at = time.Now()
	}
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		d.end.code, d.end.reason = closed.Code, closed.Text
	}
}

// heardAll returns all notices so far.
func (d *guest) heardAll() []notice {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.told)
}

// heard returns the first notice of which is says that it is the one.
func (d *guest) heard(is func(notice) bool) (n notice, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.told {
		if is(n) {
			return n, true
		}
	}
	return n, false
}

// wants waits for a notice.
func (d *guest) wants(t *testing.T, what string, is func(notice) bool) (n notice) {
	t.Helper()
	eventually(t, 10*time.Second, d.what+" is told "+what, func() (err error) {
		var ok bool
		if n, ok = d.heard(is); !ok {
			err = d.fault("is not")
		}
		return err
	})
	return n
}

// fault is an error that says what the device was told last.
func (d *guest) fault(format string, args ...any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.told[max(0, len(d.told)-5):]
	return fmt.Errorf("%s: %s; it has ended with %+v, and was told %+v at last", d.what, fmt.Sprintf(format, args...), d.end, last)
}

// ends waits until the connection has ended with the code.
func (d *guest) ends(t *testing.T, code int) ending {
	t.Helper()
	select {
	case <-d.done:
	case <-time.After(10 * time.Second):
		t.Error(d.fault("want it to end with %d", code))
		return ending{at: time.Now()}
	}
	d.mu.Lock()
	end := d.end
	d.mu.Unlock()
	if end.code != code {
		t.Error(d.fault("want it to end with %d", code))
	}
	return end
}

// stays is an error if the connection has ended.
func (d *guest) stays() error {
	select {
	case <-d.done:
		return d.fault("want it to stay")
	default:
		return nil
	}
}

// mustConnect is connect, for a device that has to be let in and has heard so.
func (p *controlled) mustConnect(t *testing.T, k kind, addr, token, query string) *guest {
	t.Helper()
	d, err := p.connect(k, addr, token, query)
	if err != nil {
		t.Fatalf("%s: %v", d.what, err)
	}
	t.Cleanup(d.shut)
	if k != overPlain {
		d.wants(t, "hello", isOp("hello"))
	}
	return d
}

func isOp(op string) func(notice) bool { return func(n notice) bool { return n.Op == op } }

// isNumber matches the message with that number.
func isNumber(number int) func(notice) bool {
	return func(n notice) bool { return n.Op == "message" && string(n.Data) == fmt.Sprint(number) }
}

// wantRefused wants a token to be refused at once, over each protocol.
func (p *controlled) wantRefused(t *testing.T, at place, token string, status int, words ...string) {
	t.Helper()
	for _, k := range []kind{overV1, overSSE} {
		d, err := p.connect(k, at.addr, token, "")
		var refused *refusal
		if err == nil {
			t.Cleanup(d.shut)
		}
		if !errors.As(err, &refused) || refused.status != status {
			t.Errorf("%s (%s): %v; want it to be refused with %d", d.what, at.name, err, status)
			continue
		}
		for _, word := range words {
			if !strings.Contains(refused.body, word) {
				t.Errorf("%s (%s): the refusal says %s, not %q", d.what, at.name, refused.body, word)
			}
		}
	}
}
