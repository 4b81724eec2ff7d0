package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// ErrEnough is what a Listener's Op returns to end it.
var ErrEnough = errors.New("enough")

// A Listener holds a session with a node and comes back when it is lost, with
// the cursors of what it has seen. Set the fields before Run and leave them.
type Listener struct {
	Node    string   // its URL
	Token   string   // session token; "" for none
	User    string   // who to be, where a node in development believes it
	Systems []string // at least one
	Rooms   []string // system/room

	// Op is called with each op, in order, as it came and decoded. Its error
	// ends the listener.
	Op func(raw []byte, op Op) error
	// Note is told, in words, what becomes of the connection.
	Note func(string)

	cursors map[string]string // by system
}

// An Op is what a node says in fanfare.v1.json, as far as a Listener cares.
type Op struct {
	Op          string          `json:"op"`
	System      string          `json:"system"`
	Cursor      string          `json:"cursor"`
	Data        json.RawMessage `json:"data"`
	DataBase64  []byte          `json:"data_base64"`
	ContentType string          `json:"content_type"`
	RetryMS     int             `json:"retry_ms"`
	Systems     map[string]struct {
		Cursor string `json:"cursor"`
	} `json:"systems"`
}

// Bounds of what a Listener does.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 15 * time.Second
	dialWait   = 10 * time.Second
	silence    = 90 * time.Second // nodes ping more often
	maxFrame   = 16 << 20
)

// Run listens until ctx ends or Op has enough, which is no error, or until it
// makes no sense to try again.
func (l *Listener) Run(ctx context.Context) error {
	l.cursors = map[string]string{}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		end, err := l.session(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, ErrEnough):
			return nil
		case end.final:
			return err
		case end.greeted:
			pause = firstPause
		}
		wait := end.retry
		if wait == 0 {
			wait = pause/2 + rand.N(pause)
		}
		l.Note(fmt.Sprintf("connection lost (%v); trying again in %v", err, wait.Round(time.Millisecond)))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// ending says what to do after a session.
type ending struct {
	final   bool          // do not come back
	greeted bool          // there was a session
	retry   time.Duration // come back after this; 0 if the node did not say
}

// session holds one session to its end.
func (l *Listener) session(ctx context.Context) (end ending, err error) {
	conn, end, err := l.dial(ctx)
	if err != nil {
		return end, err
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		leave(conn)
	})
	defer func() {
		if !stop() {
			<-closed
		}
		_ = conn.Close()
	}()
	conn.SetReadLimit(maxFrame)
	answer := conn.PingHandler()
	conn.SetPingHandler(func(text string) error {
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		return answer(text)
	})
	for {
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		_, frame, err := conn.ReadMessage()
		if err != nil {
			end.final = final(err)
			return end, err
		}
		for line := range bytes.SplitSeq(frame, []byte("\n")) {
			if err := l.take(line, &end); err != nil {
				leave(conn)
				end.final = true
				return end, err
			}
		}
	}
}

// leave says goodbye, so that the node need not find out.
func leave(conn *websocket.Conn) {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second))
	_ = conn.Close()
}

func (l *Listener) dial(ctx context.Context) (*websocket.Conn, ending, error) {
	u, err := endpoint(l.Node, "/ws", true)
	if err != nil {
		return nil, ending{final: true}, err
	}
	u.RawQuery = l.query().Encode()
	header := http.Header{}
	if l.Token != "" {
		header.Set("Authorization", "Bearer "+l.Token)
	}
	dialer := websocket.Dialer{HandshakeTimeout: dialWait, Subprotocols: []string{"fanfare.v1.json"}, Proxy: http.ProxyFromEnvironment}
	conn, answer, err := dialer.DialContext(ctx, u.String(), header)
	if err == nil {
		return conn, ending{}, nil
	}
	if answer == nil {
		return nil, ending{}, err
	}
	r := refusal(answer.StatusCode, answer.Body)
	mine := r.Status >= 400 && r.Status < 500 && r.Status != http.StatusRequestTimeout && r.Status != http.StatusTooManyRequests
	return nil, ending{final: mine}, r
}

func (l *Listener) query() url.Values {
	q := url.Values{"systems": {strings.Join(l.Systems, ",")}}
	if len(l.Rooms) > 0 {
		q["rooms"] = l.Rooms
	}
	if l.User != "" {
		q.Set("user", l.User)
	}
	for _, system := range slices.Sorted(maps.Keys(l.cursors)) {
		q.Add("resume", system+":"+l.cursors[system])
	}
	return q
}

// take hands one op on and notes what it says about cursors and the end.
func (l *Listener) take(raw []byte, end *ending) error {
	var op Op
	if err := json.Unmarshal(raw, &op); err != nil {
		return fmt.Errorf("the node says what is no op: %w", err)
	}
	switch op.Op {
	case "hello":
		*end = ending{greeted: true}
		for system, at := range op.Systems {
			l.saw(system, at.Cursor)
		}
	case "goaway":
		end.retry = time.Duration(max(op.RetryMS, 1)) * time.Millisecond
	}
	if err := l.Op(raw, op); err != nil {
		return err
	}
	l.saw(op.System, op.Cursor)
	return nil
}

func (l *Listener) saw(system, cursor string) {
	if system != "" && cursor != "" {
		l.cursors[system] = cursor
	}
}

// final says whether the node closed the session for a reason that coming back
// does not mend.
func final(err error) bool {
	return websocket.IsCloseError(err, websocket.ClosePolicyViolation,
		4001, // the token expired
		4003, // forbidden
		4009, // disconnected on purpose
		4010, // the user has newer sessions
	)
}
