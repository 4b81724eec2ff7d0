package ws

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A client is a session over WebSocket: its [session.Conn]. Four parties call it:
// melody's read pump (receive), melody's write pump (sent), the streams (Offer) and
// the [session.Registry].
type client struct {
	*session.Session
	server *Server
	plain  bool
	conn   *conn
	out    outbox

	closing atomic.Bool  // Close was called: what the client sends is ignored
	code    atomic.Int32 // the close code with which the session ends; the first one set counts

	// Only the read pump uses what follows.

	errorsInRow int            // see countError
	meter       *session.Meter // of the session; nil until something was received
	userMeter   *session.Meter // of the user's sessions on this node; nil as meter is

	frames, controls session.Bucket // see allowFrame
}

var _ session.Conn = (*client)(nil)

// open says hello and begins to offer. It runs before either pump.
func (c *client) open(m *melody.Session) {
	m.Request.Header = nil // not needed any more, and the session may live for days
	c.out.writer = m
	m.WebsocketConnection().SetPingHandler(c.pinged)
	c.Begin(c)
}

// Offer takes a message or a gap.
func (c *client) Offer(_ *session.Attachment, f stream.Frame) bool { return c.out.offer(f) }

// Offered returns how often Offer was called.
func (c *client) Offered() uint64 { return c.out.offered() }

// SendCursor sends a cursor op.
func (c *client) SendCursor(a *session.Attachment, at domain.Cursor, offers uint64) bool {
	return c.out.replyIfQuiet(session.CursorNotice(a.System(), at), offers)
}

// Notify sends a notice or an answer to a client of fanfare.v1.json. If the outbox has
// no room for it, the client is not reading, and is closed.
func (c *client) Notify(frame []byte) {
	if c.plain || c.closing.Load() || len(frame) == 0 {
		return
	}
	if !c.out.reply(frame) {
		c.server.counters.dropped.Add(1)
		c.Close(session.CloseSlow, "too many answers are waiting")
	}
}

// sent notes that a write went well. It runs in the write pump.
func (c *client) sent() {
	frames, bytes, fill := c.out.sent()
	c.server.counters.writesOut.Add(1)
	c.server.counters.framesOut.Add(uint64(frames))
	c.server.counters.bytesOut.Add(uint64(bytes))
	if fill {
		c.server.counters.fellBack.Add(1)
		c.Fill()
	}
}

// pinged answers a client's ping.
func (c *client) pinged(data string) error {
	if c.closing.Load() {
		return nil
	}
	ws, by := c.out.writer.WebsocketConnection(), time.Now().Add(c.server.cfg.Stall)
	err := ws.WriteControl(websocket.PongMessage, []byte(data), by)
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil
	}
	return err
}

// How many frames may come at once, in time at their rate. A connection that was
// stuck delivers all the pings that the client sent meanwhile, and pings are cheap.
// Data frames that were stuck with them exceed the rate of ops anyway.
const (
	frameSpan   = 2 * time.Second
	controlSpan = 10 * time.Second
)

// allowFrame counts a frame of the client's, whatever is in it, and reports whether
// it is within the rate. Control frames have a rate of their own, since no client
// needs many.
func (c *client) allowFrame(control bool) bool {
	c.server.counters.framesIn.Add(1)
	cfg, now := &c.server.cfg, c.server.now()
	if control {
		return c.controls.Take(now, cfg.ControlRate, controlSpan)
	}
	return c.frames.Take(now, cfg.FrameRate, frameSpan)
}

// breach ends the session at once because the client's frames break a rule. It runs
// in the read pump, which ends with it.
func (c *client) breach(b *breach) {
	c.server.counters.breaches.Add(1)
	c.closing.Store(true)
	c.code.CompareAndSwap(0, int32(b.code))
	wait := min(c.server.cfg.CloseWait, time.Second)
	c.conn.closeBy(wait)
	m, ws := melody.FormatCloseMessage(b.code, b.reason), c.out.writer.WebsocketConnection()
	_ = ws.WriteControl(websocket.CloseMessage, m, time.Now().Add(wait)) // the client may have gone
}

// Close ends the session with a code, after what is in its outbox, and at the latest
// after Config.CloseWait. It never blocks. Only the first call counts.
func (c *client) Close(code int, reason string) {
	if c.closing.Swap(true) {
		return
	}
	c.code.CompareAndSwap(0, int32(code))
	c.conn.closeBy(c.server.cfg.CloseWait)
	c.out.close(melody.FormatCloseMessage(code, reason))
}

// GoAway closes the session for a drain.
func (c *client) GoAway(retry time.Duration) {
	c.Notify(session.GoawayNotice(retry))
	c.Close(session.CloseGoingAway, "the node drains")
}

// Abort cuts the connection off.
func (c *client) Abort() { _ = c.conn.Conn.Close() }

// failed notes why the connection ended. Melody calls it from either pump, and even
// from inside its own Write, so it takes no lock.
func (c *client) failed(err error) {
	code := session.CloseAbnormal
	var closed *websocket.CloseError
	switch {
	case errors.As(err, new(*breach)), errors.Is(err, errStillSending):
		return // the code was set before
	case errors.Is(err, melody.ErrWriteClosed), errors.Is(err, melody.ErrMessageBufferFull):
		return // the code is set where the session is closed
	case errors.Is(err, websocket.ErrCloseSent):
		// A close frame with the reason was sent before. The client is to see it.
		c.conn.closeBy(min(c.server.cfg.CloseWait, time.Second))
		return
	case errors.Is(err, websocket.ErrReadLimit):
		code = session.CloseTooBig
		c.conn.closeBy(min(c.server.cfg.CloseWait, time.Second)) // nobody reads the answer to it
	case errors.As(err, &closed):
		code = countableCode(closed.Code)
		c.conn.clientClosed.Store(true)
	case c.conn.stalled.Load():
		code = session.CloseSlow
	}
	c.code.CompareAndSwap(0, int32(code))
}

// countableCode returns a close code of the client's, or inventedCode. Each code is
// counted, so clients must not make up as many as they like.
func countableCode(code int) int {
	if code >= 1000 && code <= 1015 {
		return code
	}
	return inventedCode
}

// inventedCode stands for all codes that clients may invent. It is not 0, which
// means that no code was set, and is counted as 0: see end.
const inventedCode = -1

// end ends the session, once the connection is done.
func (c *client) end() {
	c.closing.Store(true)
	c.Leave()
	c.conn.finish()
	c.End(max(int(c.code.Load()), 0))
}
