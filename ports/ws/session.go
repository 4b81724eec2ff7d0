package ws

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"

	"github.com/fanfarebus/fanfare/domain"
)

// A session is one connection of one user. Three parties call it: melody's
// read pump (receive), melody's write pump (sent) and the streams (through
// its attachments), besides the Server.
type session struct {
	server *Server
	id     string
	name   string // of the user
	plain  bool
	turn   int // when it is due, see Server.tick
	slot   int // in Server.sessions, -1 outside; guarded by Server.mu
	conn   *conn
	out    outbox

	expires atomic.Int64 // Unix nanoseconds, 0 for never
	closing atomic.Bool  // close was called: what the client says is not heard
	code    atomic.Int32 // why it ended, the first reason counts

	grant domain.Grant // the read pump's
	fails int          // errors in a row; the read pump's
	meter *meter       // nil until something was received; the read pump's
	mine  *meter       // the user's, as meter

	mu      sync.Mutex
	systems []*attachment // never changed in place; guarded by mu
	first   int           // whose turn it is to be filled first; guarded by mu
}

// open says hello and begins to offer. It runs before either pump.
func (c *session) open(m *melody.Session) {
	m.Request.Header = nil // has served its purpose
	c.out.writer = m
	m.WebsocketConnection().SetPingHandler(c.pinged)
	c.server.counters.opened.Add(1)
	c.tell(c.hello())
	if !c.server.enlist(c) {
		c.goAway()
		return
	}
	c.fill()
}

// targets are what the session hears without joining anything.
func (c *session) targets() []domain.Target {
	user, _ := domain.UserTarget(c.name) // checked in identify
	self, _ := domain.SessionTarget(c.id)
	return []domain.Target{user, self}
}

// hello says who, where, and from which places on.
func (c *session) hello() []byte {
	b := append(make([]byte, 0, 256), `{"op":"hello","session":`...)
	b = appendString(b, c.id)
	b = append(b, `,"node":`...)
	b = appendString(b, c.server.cfg.Node)
	b = append(b, `,"user":`...)
	b = appendString(b, c.name)
	b = append(b, `,"systems":{`...)
	for i, a := range c.systems {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, a.lease.System().String()...)
		b = append(b, `":{"cursor":`...)
		b = appendCursor(b, a.told)
		if a.resumed {
			b = append(b, `,"resumed":true}`...)
		} else {
			b = append(b, `,"resumed":false}`...)
		}
	}
	return append(b, `}}`...)
}

// tell gives a notice or an answer to a fanfare.v1.json client. One that lets
// so many of them pile up is not reading.
func (c *session) tell(frame []byte) {
	if c.plain || c.closing.Load() || len(frame) == 0 {
		return
	}
	if !c.out.reply(frame) {
		c.server.counters.dropped.Add(1)
		c.close(CloseSlow, "too many answers are waiting")
	}
}

// sent notes that a write went well. It runs in the write pump.
func (c *session) sent() {
	frames, bytes, fill := c.out.sent()
	c.server.counters.writesOut.Add(1)
	c.server.counters.framesOut.Add(uint64(frames))
	c.server.counters.bytesOut.Add(uint64(bytes))
	if fill {
		c.server.counters.fellBack.Add(1)
		c.fill()
	}
}

// fill lets each stream offer what the session has missed. Who was first the
// last time is last the next time.
func (c *session) fill() {
	c.mu.Lock()
	systems, first := c.systems, c.first
	c.first++
	c.mu.Unlock()
	for i := range systems {
		systems[(first+i)%len(systems)].stream.Fill()
	}
}

// tellCursors tells where the session is in the systems that it heard nothing
// of since the last time. A place must not be told behind a message that comes
// after it: the client would go back, and get that message again.
func (c *session) tellCursors() {
	c.mu.Lock()
	systems := c.systems
	c.mu.Unlock()
	for _, a := range systems {
		quiet := c.out.offered()
		if at, moved := a.moved(); moved && c.out.replyIfQuiet(cursorNotice(a.lease.System(), at), quiet) {
			a.told = at
		}
	}
}

// pinged answers a client's ping, unless it sends too many.
func (c *session) pinged(data string) error {
	if c.closing.Load() || !c.allow(len(data)) {
		return nil
	}
	err := c.out.writer.WebsocketConnection().WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(c.server.cfg.Stall))
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil
	}
	return err
}

func (c *session) setExpiry(t time.Time) {
	if t.IsZero() {
		c.expires.Store(0)
		return
	}
	c.expires.Store(t.UnixNano())
}

func (c *session) expired(now time.Time) bool {
	at := c.expires.Load()
	return at != 0 && now.UnixNano() >= at
}

// close ends the session with a code, after what is in its outbox, and at the
// latest after Config.CloseWait. It never blocks; the first call counts.
func (c *session) close(code int, reason string) {
	if c.closing.Swap(true) {
		return
	}
	c.code.CompareAndSwap(0, int32(code))
	c.conn.closeBy(c.server.cfg.CloseWait)
	c.out.close(melody.FormatCloseMessage(code, reason))
}

// goAway closes the session for a drain.
func (c *session) goAway() {
	c.tell(goawayNotice(time.Duration(jitter(c.server.cfg.RetrySpan)) * time.Millisecond))
	c.close(CloseGoingAway, "the node drains")
}

// failed notes why the connection ended. Melody calls it from either pump, and
// from inside its own Write: it takes no lock.
func (c *session) failed(err error) {
	code := websocket.CloseAbnormalClosure
	var closed *websocket.CloseError
	switch {
	case errors.Is(err, melody.ErrWriteClosed), errors.Is(err, melody.ErrMessageBufferFull):
		return // why it is closed is noted where it was
	case errors.Is(err, websocket.ErrReadLimit):
		code = CloseTooBig
		c.conn.closeBy(min(c.server.cfg.CloseWait, time.Second)) // nobody reads the answer to it
	case errors.As(err, &closed):
		code = knownCode(closed.Code)
		c.conn.done.Store(true)
	case c.conn.stalled.Load():
		code = CloseSlow
	}
	c.code.CompareAndSwap(0, int32(code))
}

// knownCode keeps clients from making up codes to count.
func knownCode(code int) int {
	if code >= 1000 && code <= 1015 {
		return code
	}
	return madeUp
}

// madeUp stands for all the codes that clients may invent.
const madeUp = -1

// end lets go of everything, once the connection is done.
func (c *session) end() {
	c.closing.Store(true)
	c.detach()
	c.server.delist(c)
	c.conn.finish()
	if c.out.writer == nil {
		return // it never opened
	}
	code := max(int(c.code.Load()), 0)
	c.server.counters.countClosed(code)
	c.server.log.Debug("ws: session ended", "user", c.name, "session", c.id, "code", code)
}

func (c *session) detach() {
	c.mu.Lock()
	systems := c.systems
	c.systems = nil
	c.mu.Unlock()
	for _, a := range systems {
		a.detach()
	}
}
