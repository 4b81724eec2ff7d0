package ws

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A client is a session over WebSocket: its [session.Conn]. Four parties call it:
// melody's read pump (receive), the session's writer (wrote), the streams (Offer) and
// the [session.Registry].
type client struct {
	*session.Session
	server *Server
	plain  bool
	conn   *conn

	// What Offer and the writer need stands together, since with many sessions
	// it is not in the processor's cache.
	shard  *shard
	socket syscall.RawConn // nil if the connection can only be written by Write
	out    outbox

	closing atomic.Bool  // Close was called: what the client sends is ignored
	code    atomic.Int32 // the close code with which the session ends; the first one set counts

	pingTurn, pingIndex int // guarded by Server.pings

	// Only the read pump uses what follows.

	clientClosed bool           // the client has sent a close frame
	errorsInRow  int            // see countError
	meter        *session.Meter // of the session; nil until something was received
	userMeter    *session.Meter // of the user's sessions on this node; nil as meter is

	frames, controls session.Bucket // see allowFrame
}

var _ session.Conn = (*client)(nil)

// open prepares melody's session. It runs before either pump.
func (c *client) open(m *melody.Session) {
	library := m.WebsocketConnection()
	library.SetPingHandler(c.pinged)
	library.SetCloseHandler(c.closedByClient)
	// This ends melody's write pump, which has nothing to do: conn.Write swallows it.
	_ = m.CloseWithMsg(nil)
}

// schedule sends a writer if one is due. Each call that puts something into the outbox
// is followed by it.
func (c *client) schedule(due bool) {
	switch {
	case !due:
	case c.socket != nil:
		c.shard.add(c)
	default:
		go c.writeOut(&batch{}) // end waits for it
	}
}

// Offer takes a message or a gap.
func (c *client) Offer(_ *session.Attachment, f stream.Frame) bool {
	taken, due := c.out.offer(f)
	c.schedule(due)
	return taken
}

// OfferNoted takes a message that wants a receipt.
func (c *client) OfferNoted(_ *session.Attachment, f stream.Frame, n *stream.Note) bool {
	taken, due := c.out.offerNoted(f, n)
	c.schedule(due)
	return taken
}

// Offered returns how often Offer and OfferNoted were called.
func (c *client) Offered() uint64 { return c.out.offered() }

// Unwritten calls each with the messages that were taken and are not written.
func (c *client) Unwritten(each func(frame []byte) bool) { c.out.unwritten(each) }

// Port says whether the client is a plain one.
func (c *client) Port() string {
	if c.plain {
		return "plain"
	}
	return "ws"
}

// Pending returns what waits in the outbox.
func (c *client) Pending() (frames, bytes int) { return c.out.pending() }

// SendCursor sends a cursor op.
func (c *client) SendCursor(a *session.Attachment, at domain.Cursor, offers uint64) bool {
	taken, due := c.out.replyIfQuiet(session.CursorNotice(a.System(), at), offers)
	c.schedule(due)
	return taken
}

// Notify sends a notice or an answer to a client of fanfare.v1.json. If the outbox has
// no room for it, the client is not reading, and is closed.
func (c *client) Notify(frame []byte) {
	if c.plain || c.closing.Load() || len(frame) == 0 {
		return
	}
	taken, due := c.out.reply(frame)
	c.schedule(due)
	if !taken {
		c.server.counters.dropped.Add(1)
		c.Close(session.CloseSlow, "too many answers are waiting")
	}
}

// NotifyIfRoom sends a notice that can wait. It has no more room than a message.
func (c *client) NotifyIfRoom(frame []byte) bool {
	if c.plain {
		return true
	}
	taken, due := c.out.replyIfRoom(frame)
	c.schedule(due)
	return taken
}

// Disconnect notifies the client that it is disconnected, and closes the session.
func (c *client) Disconnect(code int, reason string, final bool) {
	if !c.plain && !c.closing.Load() {
		// Should there be no room, which a client that reads never sees, it learns the code.
		_, due := c.out.reply(session.DisconnectNotice(code, reason, final))
		c.schedule(due)
	}
	c.Close(code, reason)
}

// ping asks the client whether it is there.
func (c *client) ping() { c.schedule(c.out.sendControl(controlFrame(opPing, nil))) }

// pinged answers a client's ping.
func (c *client) pinged(data string) error {
	if !c.closing.Load() {
		c.schedule(c.out.sendControl(controlFrame(opPong, []byte(data))))
	}
	return nil
}

// closedByClient answers a client's close frame. The read pump ends with it.
func (c *client) closedByClient(code int, _ string) error {
	c.clientClosed = true
	c.cut(code, "")
	return nil
}

// writeOut is the writer of a session that a flusher cannot write to. It writes b, which
// a full socket has not taken, or what is large, and whatever gathers meanwhile, and
// waits as long as there is some progress. For a connection that is more than a socket,
// b is empty.
func (c *client) writeOut(b *batch) {
	if b.isEmpty() {
		if !c.out.next(b) {
			return
		}
	} else {
		c.server.counters.slow.Add(1)
		defer c.server.counters.slow.Add(-1)
	}
	for more := true; more; more = c.wrote(b) && c.out.next(b) {
		err := c.conn.write(b.buf)
		if err == nil {
			err = c.conn.write(b.large)
		}
		if err != nil {
			c.writeFailed(err)
			return
		}
		c.server.counters.sent(b.tally)
		b.delay.Observe(&c.server.delay)
	}
}

// wrote notes that a batch is written, and fills the outbox if it is time for that. It
// reports whether the writer has to go on.
func (c *client) wrote(b *batch) (more bool) {
	for _, n := range b.notes {
		c.Wrote(n)
	}
	if b.last {
		c.conn.closeWrite()
	}
	fill, more := c.out.written()
	if fill {
		c.server.counters.fellBack.Add(1)
		c.Fill()
	}
	return more
}

// writeFailed ends the session because its connection cannot be written to.
func (c *client) writeFailed(err error) {
	code := session.CloseAbnormal
	if errors.Is(err, os.ErrDeadlineExceeded) {
		code = session.CloseSlow
	}
	c.code.CompareAndSwap(0, int32(code))
	c.Abort() // ends the read pump
	c.out.fail()
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
	c.code.CompareAndSwap(0, int32(b.code))
	c.cut(b.code, b.reason)
}

// cut ends the session without what is in its outbox.
func (c *client) cut(code int, reason string) {
	c.closing.Store(true)
	c.conn.closeBy(min(c.server.cfg.CloseWait, time.Second))
	c.schedule(c.out.cut(closeFrame(code, reason)))
}

// closeFrame returns a complete close frame.
func closeFrame(code int, reason string) []byte {
	if most := maxControl - codeLen; len(reason) > most {
		reason = strings.ToValidUTF8(reason[:most], "")
	}
	return controlFrame(opClose, websocket.FormatCloseMessage(code, reason))
}

// Close ends the session with a code, after what is in its outbox, and at the latest
// after Config.CloseWait. It never blocks. Only the first call counts.
func (c *client) Close(code int, reason string) {
	if c.closing.Swap(true) {
		return
	}
	c.code.CompareAndSwap(0, int32(code))
	c.conn.closeBy(c.server.cfg.CloseWait)
	c.schedule(c.out.close(closeFrame(code, reason)))
}

// GoAway asks the client to connect elsewhere. Plain clients cannot be asked.
func (c *client) GoAway(retry, grace time.Duration) {
	c.Notify(session.GoawayNotice(retry, grace))
	if c.plain || grace == 0 {
		c.Close(session.CloseGoingAway, "the node drains")
	}
}

// Abort cuts the connection off.
func (c *client) Abort() { _ = c.conn.Conn.Close() }

// failed notes why reading from the connection has ended. Melody calls it from the read
// pump.
func (c *client) failed(err error) {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, new(*breach)), errors.Is(err, errStillSending):
		return // the code was set before
	case errors.Is(err, websocket.ErrReadLimit):
		c.code.CompareAndSwap(0, session.CloseTooBig)
		c.cut(session.CloseTooBig, "")
	case errors.As(err, &closed):
		c.code.CompareAndSwap(0, int32(countableCode(closed.Code)))
	default:
		c.code.CompareAndSwap(0, session.CloseAbnormal)
	}
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

// end ends the session, once melody is done with it. Nobody uses it when end returns.
func (c *client) end() {
	c.closing.Store(true)
	c.server.pings.remove(c)
	c.Leave()
	idle := c.out.stop()
	c.conn.finish(idle, c.clientClosed)
	<-idle // the writer ends now, as the connection is closed
	c.End(max(int(c.code.Load()), 0))
}
