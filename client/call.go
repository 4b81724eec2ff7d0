package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// mostCalls is how many calls may wait for an answer.
const mostCalls = 1000

type kind string

const (
	callJoin     kind = "join"
	callLeave    kind = "leave"
	callSend     kind = "send"
	callAuth     kind = "auth"
	callPresence kind = "presence"
)

// A call is an op that a node answers. Its kind, room, watch, late and again never
// change. Client.mu guards the other fields until done is closed; then id, last and err stay
// as they are.
type call struct {
	kind  kind
	room  string // for join, leave and presence: system/room, or the system alone
	watch string // for presence: watchCount or watchUsers; "" ends watching
	text  []byte // the op; without its name and ref until the call is numbered
	late  bool   // a late join: see late.go
	again bool   // it watches on a new connection what the last one watched: see watch.go

	ref     uint64
	due     time.Time     // not sent before, unless it is zero
	written bool          // a node may have received it
	on      *session      // on which it was sent, and which may bring the answer; else nil
	settled bool          // it was answered or given up
	done    chan struct{} // closed when it is settled
	id      string        // of the message that was sent
	last    *coverage     // of a join that asked for the last messages
	err     error
}

// isMoot says whether the next connection does by itself what a call asks for: it names
// the rooms and the token anew, and watches only what is to be watched.
func (a *call) isMoot() bool {
	switch a.kind {
	case callLeave, callAuth:
		return true
	case callPresence:
		return a.watch == "" || a.again
	}
	return false
}

// abandoned returns the error of a call that has no answer when Run returns.
func (a *call) abandoned() error {
	if a.kind == callSend && a.written {
		return ErrUnknown
	}
	return ErrClosed
}

// A Sending is a message that a client sends.
type Sending struct {
	// To names whom the message is for, such as room:lobby or user:bob. Without a
	// target it is for the services behind the system.
	To []string
	// Type is the application's name for what happened.
	Type string
	// Data is encoded as JSON; a json.RawMessage is taken as it is. A []byte is
	// sent as bytes, and so is a string with a ContentType other than JSON.
	Data any
	// ContentType, if it is empty, is application/octet-stream for a []byte and
	// application/json for all else. Types that end in +json are JSON, too.
	ContentType string
	// ID tells a message from its repetition. If it is empty, the node makes one.
	ID string
	// TTL is how long the message is worth delivering, rounded up to whole seconds.
	// 0 is forever; a negative TTL is an error.
	TTL time.Duration
	// Headers are the application's own.
	Headers map[string]string
}

// Send publishes a message in a system, and returns its id once the bus has taken it.
// It waits for a connection, and sends once. If the message was sent and the connection
// is lost, or ctx ends, before the answer, the error wraps [ErrUnknown]. If the node
// refuses the message, the error is an [OpError].
func (c *Client) Send(ctx context.Context, system string, m Sending) (id string, err error) {
	text, err := m.encode(system)
	if err != nil {
		return "", fmt.Errorf("client: sending in %s: %w", system, err)
	}
	return c.ask(ctx, &call{kind: callSend, text: text})
}

// Join joins a room, on this connection and all later ones. If since, a cursor, is not
// empty, the node first sends what was published in the room after that cursor. Join
// waits for a connection. If that is lost before the answer, Join asks again on the next
// one with the same since; messages that the first one brought then come again. If the
// node refuses the room, the error is an [OpError]. If ctx ends before the answer, later
// connections do not join the room.
func (c *Client) Join(ctx context.Context, system, room, since string) error {
	_, err := c.join(ctx, joining{System: system, Room: room, Since: since})
	return err
}

// JoinLast is [Client.Join] for a room whose latest messages the node sends first. The
// Coverage says whether all that were asked for have come; it is nil from a node that does
// not tell.
func (c *Client) JoinLast(
	ctx context.Context, system, room string, last Last,
) (*Coverage, error) {
	if err := last.check(); err != nil {
		return nil, fmt.Errorf("client: joining %s/%s: last: %w", system, room, err)
	}
	return c.join(ctx, joining{System: system, Room: room, Last: last.value()})
}

// A joining is the op with which a room is joined, but for its name and ref.
type joining struct {
	System string `json:"system"`
	Room   string `json:"room"`
	Since  string `json:"since,omitempty"`
	Last   any    `json:"last,omitempty"` // a number, or a time as a string
}

func (c *Client) join(ctx context.Context, j joining) (*Coverage, error) {
	name := j.System + "/" + j.Room
	if !utf8.ValidString(name) {
		return nil, fmt.Errorf("client: joining %q: not UTF-8", name)
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("client: joining %s: %w", name, err)
	}
	for {
		a := &call{kind: callJoin, room: name, text: text}
		_, err := c.ask(ctx, a)
		if refused := (*OpError)(nil); !errors.As(err, &refused) || refused.Code != "busy" {
			return a.last.exported(), err
		}
		// The node is still looking up another cursor for this session.
		if !pause(ctx, c.cfg.FirstPause/4+rand.N(c.cfg.FirstPause/2+1)) {
			return nil, ctx.Err()
		}
	}
}

// Leave leaves a room, also on later connections. Without a connection it returns at
// once.
func (c *Client) Leave(ctx context.Context, system, room string) error {
	name := system + "/" + room
	text, err := json.Marshal(map[string]string{"system": system, "room": room})
	if err != nil {
		return fmt.Errorf("client: leaving %s: %w", name, err)
	}
	if !c.forget(name) {
		return nil
	}
	_, err = c.ask(ctx, &call{kind: callLeave, room: name, text: text})
	return err
}

// forget removes a room from the list and settles the joins that wait for it. It says
// whether there is a session, whose node has to be asked to leave the room.
func (c *Client) forget(room string) (tell bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rooms = slices.DeleteFunc(c.rooms, func(name string) bool { return name == room })
	for _, call := range c.pending {
		if call.kind == callJoin && call.room == room {
			c.settle(call, "", ErrLeft)
		}
	}
	return c.current != nil
}

func (m *Sending) encode(system string) ([]byte, error) {
	if m.TTL < 0 {
		return nil, fmt.Errorf("TTL: %v: must not be negative", m.TTL)
	}
	ttl := int64(m.TTL / time.Second)
	if m.TTL%time.Second > 0 {
		ttl++ // so that less than a second does not become 0, which is forever
	}
	if err := m.check(system); err != nil {
		return nil, err
	}
	w := struct {
		System      string            `json:"system"`
		To          []string          `json:"to,omitempty"`
		ID          string            `json:"id,omitempty"`
		Type        string            `json:"type,omitempty"`
		TTL         int64             `json:"ttl,omitempty"`
		Headers     map[string]string `json:"headers,omitempty"`
		ContentType string            `json:"content_type,omitempty"`
		Data        json.RawMessage   `json:"data,omitempty"`
		DataBase64  *[]byte           `json:"data_base64,omitempty"`
	}{
		System: system, To: m.To, ID: m.ID, Type: m.Type, TTL: ttl,
		Headers: m.Headers, ContentType: m.ContentType,
	}
	foreign := m.ContentType != "" && !isJSON(m.ContentType)
	switch data := m.Data.(type) {
	case []byte:
		data = append([]byte{}, data...) // not nil, which would be null
		w.DataBase64 = &data
	case string:
		if foreign {
			bytes := []byte(data)
			w.DataBase64 = &bytes
		}
	}
	if w.DataBase64 == nil {
		if foreign {
			return nil, errForeign
		}
		data, err := json.Marshal(m.Data)
		if err != nil {
			return nil, err
		}
		if !utf8.Valid(data) {
			return nil, errors.New("data: a json.RawMessage that is not UTF-8 is no JSON")
		}
		w.Data = data
	}
	return json.Marshal(w)
}

// ask hands a call to the writer, and waits for its answer.
func (c *Client) ask(ctx context.Context, a *call) (id string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if ctx.Value(handlingKey{}) == c {
		// A deadlock is possible here: the Handler waits for the answer, the answer
		// may stand behind more than the queue holds, and the queue waits for the
		// Handler.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	if err := c.put(a); err != nil {
		return "", err
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		c.withdraw(a, ctx.Err())
	}
	return a.id, a.err
}

// put numbers a call and hands it to the writer or, without a connection, lets it wait
// for the next one.
func (c *Client) put(a *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
		return ErrClosed
	case len(c.pending) >= mostCalls:
		return ErrBusy
	case a.isMoot() && c.current == nil:
		a.done = make(chan struct{})
		close(a.done)
		return nil
	}
	c.number(a)
	if len(a.text) > c.cfg.SendBytes {
		text := fmt.Sprintf("%d bytes are more than SendBytes allows", len(a.text))
		return &OpError{"too_large", text}
	}
	c.pending[a.ref] = a
	if c.current != nil {
		c.unsent = append(c.unsent, a)
		c.wakeWriter()
	}
	if c.queue != nil {
		c.queue.retry()
	}
	return nil
}

// number gives a call its ref, and writes its name and ref into its text. The caller
// holds mu.
func (c *Client) number(a *call) {
	c.ref++
	a.ref, a.done = c.ref, make(chan struct{})
	a.text = slices.Concat(
		[]byte(`{"op":"`+string(a.kind)+`","ref":`+strconv.FormatUint(a.ref, 10)+`,`), a.text[1:])
}

// withdraw settles a call for which nobody waits any more, unless the answer has just
// come.
func (c *Client) withdraw(a *call, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.kind == callSend && a.written {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	c.settle(a, "", err)
}

// settle ends a call with an answer or an error. Only the first time counts. The
// caller holds mu.
func (c *Client) settle(a *call, id string, err error) {
	if a.settled {
		return
	}
	a.settled, a.id, a.err = true, id, err
	a.answersLess()
	delete(c.pending, a.ref)
	c.unsent = slices.DeleteFunc(c.unsent, func(other *call) bool { return other == a })
	if a.kind == callJoin && err == nil && !slices.Contains(c.rooms, a.room) {
		c.rooms = append(c.rooms, a.room)
	}
	if a.kind == callPresence && a.watch != "" && !a.again && err == nil {
		c.watches[a.room] = a.watch
	}
	if a.late {
		c.lateSettled(a, err)
	}
	close(a.done)
}

// answersLess tells the session on which the call was sent that it waits for one answer less.
func (a *call) answersLess() {
	if a.on != nil {
		signal(a.on.answers)
	}
}

// wakeWriter lets the writer look for what to send. The caller holds mu.
func (c *Client) wakeWriter() {
	if c.current != nil {
		signal(c.current.wake)
	}
}

// waiting says whether a call waits for its answer.
func (c *Client) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending) > 0
}

// connected lets the writer send all calls that wait, other than for an answer of the session
// before. First come those that leave rooms which were named when connecting, and left since.
func (s *session) connected(named []string) {
	c := s.Client
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.late = s, nil
	c.joinLate(named)
	c.watchAgain()
	c.unsent = slices.SortedFunc(maps.Values(c.pending), byRef)
	c.unsent = slices.DeleteFunc(c.unsent, func(a *call) bool { return a.on != nil && !a.on.gone })
	for _, name := range named {
		if !slices.Contains(c.rooms, name) {
			system, room, _ := strings.Cut(name, "/")
			op := map[string]string{"op": "leave", "system": system, "room": room}
			text, _ := json.Marshal(op) // strings can always be encoded
			c.unsent = slices.Insert(c.unsent, 0, &call{kind: callLeave, room: name, text: text})
		}
	}
	c.wakeWriter()
}

// byRef is the order in which calls were made.
func byRef(a, b *call) int { return cmp.Compare(a.ref, b.ref) }

// disconnected settles the calls that the next connection does not send again. If that has
// replaced this one, these are only those that were sent on this one.
func (s *session) disconnected() {
	c := s.Client
	c.mu.Lock()
	defer c.mu.Unlock()
	s.gone = true
	signal(s.answers) // there will be none
	if c.current == s {
		c.current, c.unsent = nil, nil
	}
	for _, call := range c.pending {
		switch {
		case call.on != s && c.current != nil:
		case call.isMoot():
			c.settle(call, "", nil)
		case call.kind == callSend && call.written:
			c.settle(call, "", ErrUnknown)
		case c.current != nil:
			call.on = nil
			c.unsent = append(c.unsent, call)
			c.wakeWriter()
		}
	}
}

// nextCall removes the call that is to be sent next on a session from unsent, and returns
// it; nil if there is nothing to send now. If a late join waits for its time, wait is how
// long.
func (c *Client) nextCall(s *session) (next *call, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != s {
		return nil, 0
	}
	for i, call := range c.unsent {
		if s.moving && call.isOfPlace() {
			continue
		}
		due := call.due
		if call.late {
			if c.late != nil {
				continue
			}
			due = c.lateAt
		}
		if left := time.Until(due); left > 0 {
			wait = sooner(wait, left)
			continue
		}
		if call.late {
			c.late = call
		}
		c.unsent = slices.Delete(c.unsent, i, i+1)
		call.written, call.on = true, s
		return call, 0
	}
	return nil, wait
}

func inSystem(name, system string) bool { return strings.HasPrefix(name, system+"/") }
