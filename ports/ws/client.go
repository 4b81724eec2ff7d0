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

// A client is a session over WebSocket: its session.Conn. Four parties call
// it: melody's read pump (receive), melody's write pump (sent), the streams
// (Offer) and the Registry.
type client struct {
	*session.Session
	server *Server
	plain  bool
	conn   *conn
	out    outbox

	closing atomic.Bool  // Close was called: what the client says is not heard
	code    atomic.Int32 // why it ended, the first reason counts

	fails int            // errors in a row; the read pump's
	meter *session.Meter // nil until something was received; the read pump's
	mine  *session.Meter // the user's, as meter

	frames, controls session.Bucket // the read pump's
}

var _ session.Conn = (*client)(nil)

// open says hello and begins to offer. It runs before either pump.
func (c *client) open(m *melody.Session) {
	m.Request.Header = nil // has served its purpose
	c.out.writer = m
	m.WebsocketConnection().SetPingHandler(c.pinged)
	c.Begin(c)
}

// Offer takes a message or a gap.
func (c *client) Offer(_ *session.Attachment, f stream.Frame) bool { return c.out.offer(f) }

// Offered is how often something was offered.
func (c *client) Offered() uint64 { return c.out.offered() }

// SendCursor tells a fanfare.v1.json client where it is in a system.
func (c *client) SendCursor(a *session.Attachment, at domain.Cursor, offers uint64) bool {
	return c.out.replyIfQuiet(session.CursorNotice(a.System(), at), offers)
}

// Notify gives a notice or an answer to a fanfare.v1.json client. One that lets
// so many of them pile up is not reading.
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
	err := c.out.writer.WebsocketConnection().WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(c.server.cfg.Stall))
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil
	}
	return err
}

// What may come at once, in time at the rate. A link that was stuck delivers all
// the pings that a client sent meanwhile, and they cost little; what else was stuck
// with them is beyond the rate of ops anyway.
const (
	frameSpan   = 2 * time.Second
	controlSpan = 10 * time.Second
)

// frame counts a frame of the client's, whatever is in it, and says whether it
// is within the rate. Control frames have a rate of their own: nobody needs
// many.
func (c *client) frame(control bool) bool {
	c.server.counters.framesIn.Add(1)
	cfg, now := &c.server.cfg, c.server.now()
	if control {
		return c.controls.Take(now, cfg.ControlRate, controlSpan)
	}
	return c.frames.Take(now, cfg.FrameRate, frameSpan)
}

// breach ends the session at once, for what the client did on the level of
// frames. It runs in the read pump, which ends with it.
func (c *client) breach(b *breach) {
	c.server.counters.breaches.Add(1)
	c.closing.Store(true)
	c.code.CompareAndSwap(0, int32(b.code))
	wait := min(c.server.cfg.CloseWait, time.Second)
	c.conn.closeBy(wait)
	m, ws := melody.FormatCloseMessage(b.code, b.reason), c.out.writer.WebsocketConnection()
	_ = ws.WriteControl(websocket.CloseMessage, m, time.Now().Add(wait)) // it may have gone
}

// Close ends the session with a code, after what is in its outbox, and at the
// latest after Config.CloseWait. It never blocks; the first call counts.
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

// Abort gives the connection up.
func (c *client) Abort() { _ = c.conn.Conn.Close() }

// failed notes why the connection ended. Melody calls it from either pump, and
// from inside its own Write: it takes no lock.
func (c *client) failed(err error) {
	code := session.CloseAbnormal
	var closed *websocket.CloseError
	switch {
	case errors.As(err, new(*breach)), errors.Is(err, errStillSending):
		return // it was noted
	case errors.Is(err, melody.ErrWriteClosed), errors.Is(err, melody.ErrMessageBufferFull):
		return // why it is closed is noted where it was
	case errors.Is(err, websocket.ErrCloseSent):
		// The other pump, or we, have said why; the client is to see that.
		c.conn.closeBy(min(c.server.cfg.CloseWait, time.Second))
		return
	case errors.Is(err, websocket.ErrReadLimit):
		code = session.CloseTooBig
		c.conn.closeBy(min(c.server.cfg.CloseWait, time.Second)) // nobody reads the answer to it
	case errors.As(err, &closed):
		code = knownCode(closed.Code)
		c.conn.done.Store(true)
	case c.conn.stalled.Load():
		code = session.CloseSlow
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
func (c *client) end() {
	c.closing.Store(true)
	c.Leave()
	c.conn.finish()
	c.End(max(int(c.code.Load()), 0))
}
