package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// clients is the Python program that holds the sessions, and what they have
// told.
type clients struct {
	*process
	c     *cluster
	stdin io.WriteCloser
	read  chan struct{} // closed when all that it wrote was read

	mu       sync.Mutex
	sessions map[string]*session // guarded by mu, and so is what is in them
}

// A session is one client's, through all its connections.
type session struct {
	name, user string
	rooms      []string // of orders, in the order in which they were asked for
	plain      bool

	opens    int
	nodes    []string // whose hello it got, one per connection
	messages []received
	ops      []op // all others but cursors
	closes   []event
	refusals []event
}

// told returns what the session was told beside messages, cursors, and how the
// bus is: on a busy machine it may look down for a moment.
func (s *session) told() (all []op) {
	for _, o := range s.ops {
		if o.Op != "bus" {
			all = append(all, o)
		}
	}
	return all
}

func (s *session) gaps() (n int) {
	for _, o := range s.ops {
		if o.Op == "gap" {
			n++
		}
	}
	return n
}

// An event is what the program writes.
type event struct {
	S, E, Text, Reason string
	Code               int
	Op                 json.RawMessage
}

// An op is what a node tells a client.
type op struct {
	Op, System, ID, Cursor, To, Type, Reason, Node, From, Code string
	Ref                                                        json.RawMessage
	RetryMS                                                    *int `json:"retry_ms"`
	AfterMS                                                    *int `json:"after_ms"`
	Up                                                         *bool
	Data                                                       json.RawMessage
	Systems                                                    map[string]struct {
		Cursor  *string
		Resumed bool
	}
}

func readOp(line []byte) (o op, err error) {
	if err := json.Unmarshal(line, &o); err != nil {
		return o, fmt.Errorf("op %q: %w", line, err)
	}
	return o, nil
}

// received is a message as a session got it.
type received struct {
	label // what the data says
	id    string
	to    string // "" for plain clients
	from  string // the user who sent it, if it was one
	data  string
}

// startClients starts the program.
func startClients(c *cluster) *clients {
	c.t.Helper()
	cmd := exec.Command(needsPython(c.t), "testdata/clients.py")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	// A pipe of our own: Wait would close one of the command's early.
	out, in := io.Pipe()
	cmd.Stdout = in
	k := &clients{c: c, stdin: stdin, read: make(chan struct{}), sessions: make(map[string]*session)}
	k.process = start(c.t, "clients.py", cmd)
	go func() {
		<-k.ended
		in.Close()
	}()
	go func() {
		defer close(k.read)
		k.listen(out)
	}()
	return k
}

func (k *clients) listen(out io.Reader) {
	lines := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			k.t.Errorf("clients.py wrote %q: %v", line, err)
			return
		}
		k.note(e)
	}
}

func (k *clients) note(e event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sessions[e.S]
	switch e.E {
	case "open":
		s.opens++
	case "close":
		s.closes = append(s.closes, e)
	case "refused":
		s.refusals = append(s.refusals, e)
	case "text":
		s.messages = append(s.messages, received{label: readLabel([]byte(e.Text)), data: e.Text})
	case "op":
		o, err := readOp(e.Op)
		if err != nil {
			k.t.Errorf("session %s: %v", e.S, err)
		}
		switch o.Op {
		case "message":
			s.messages = append(s.messages, received{readLabel(o.Data), o.ID, o.To, o.From, string(o.Data)})
		case "hello":
			s.nodes = append(s.nodes, o.Node)
		case "cursor":
		default:
			s.ops = append(s.ops, o)
		}
	}
}

// open opens a session that reconnects by itself.
func (k *clients) open(name, user string, plain bool, rooms ...string) *session {
	k.t.Helper()
	return k.openAt(k.c.front, name, user, plain, rooms...)
}

func (k *clients) openAt(addr, name, user string, plain bool, rooms ...string) *session {
	k.t.Helper()
	s := &session{name: name, user: user, plain: plain, rooms: rooms}
	k.mu.Lock()
	k.sessions[name] = s
	k.mu.Unlock()
	url := "ws://" + addr + "/ws?systems=orders"
	if len(rooms) > 0 {
		url += "&rooms=orders/" + strings.Join(rooms, ",orders/")
	}
	k.tell(map[string]any{"do": "open", "s": name, "url": url, "token": k.c.token(user, "orders"), "plain": plain})
	return s
}

func (k *clients) say(s *session, text string) {
	k.t.Helper()
	k.tell(map[string]any{"do": "say", "s": s.name, "text": text})
}

func (k *clients) tell(command map[string]any) {
	k.t.Helper()
	line, err := json.Marshal(command)
	if err == nil {
		_, err = k.stdin.Write(append(line, '\n'))
	}
	if err != nil {
		k.t.Fatalf("clients.py: %v", err)
	}
}

// each returns the first fault that check finds in a session.
func (k *clients) each(check func(*session) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	bad, first := 0, error(nil)
	for _, s := range k.sorted() {
		if err := check(s); err != nil {
			if bad++; first == nil {
				first = fmt.Errorf("session %s: %w", s.name, err)
			}
		}
	}
	if bad > 1 {
		first = fmt.Errorf("%w (and %d sessions more)", first, bad-1)
	}
	return first
}

func (k *clients) sorted() []*session {
	var all []*session
	for _, s := range k.sessions {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *session) int { return strings.Compare(a.name, b.name) })
	return all
}

// attached waits until all sessions are open and the nodes have them in their
// streams.
func (k *clients) attached() {
	k.t.Helper()
	eventually(k.t, 60*time.Second, "all sessions are attached", func() error {
		err := k.each(func(s *session) error {
			if s.opens == 0 || !s.plain && len(s.nodes) == 0 {
				return fmt.Errorf("not open: %v", s.refusals)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if got := k.c.metric(`fanfare_attached_sessions{system="orders"}`); int(got) != len(k.sessions) {
			return fmt.Errorf("%v are attached, want %d", got, len(k.sessions))
		}
		return nil
	})
}

// finish closes all sessions and reads what they still have to tell.
func (k *clients) finish() {
	k.t.Helper()
	_ = k.stdin.Close()
	if code := k.exit(30 * time.Second); code != 0 {
		k.t.Errorf("clients.py: exit code %d\n%s", code, k.log)
	}
	<-k.read
}

// A label says who published a message, and which one of theirs it is.
type label struct {
	P string
	N int
}

func (l label) String() string { return fmt.Sprintf("%s/%d", l.P, l.N) }

func readLabel(data []byte) (l label) {
	_ = json.Unmarshal(data, &l) // what is none of ours has no label
	return l
}

// hear waits until every session has got a message.
func (k *clients) hear(t *testing.T, within time.Duration, l label) {
	t.Helper()
	eventually(t, within, "every session gets "+l.String(), func() error {
		return k.each(func(s *session) error {
			if !slices.ContainsFunc(s.messages, func(m received) bool { return m.label == l }) {
				return fmt.Errorf("it has %d messages, %d connections, %d closes, %d refusals", len(s.messages), s.opens, len(s.closes), len(s.refusals))
			}
			return nil
		})
	})
}
