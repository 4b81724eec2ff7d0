package sse

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A client is a session over Server-Sent Events: its [session.Conn]. The request's
// goroutine writes (serve); the streams and the [session.Registry] call the rest.
type client struct {
	*session.Session
	server    *Server
	out       outbox
	script    *script // only serve uses it
	cursorOps bool    // the client asked for cursor ops instead of ids without data

	w       http.ResponseWriter // only serve uses it
	control *http.ResponseController
	// idleTimed says that a write deadline ends the stream even while nothing is
	// written, as in HTTP/2. It has to be taken back after each write.
	idleTimed bool

	mu       sync.Mutex
	deadline time.Time // the write deadline that is set; zero for none; guarded by mu
	closeBy  time.Time // the deadline once the session is closing, else zero; guarded by mu
	over     bool      // the handler has returned, or is about to; guarded by mu
}

var _ session.Conn = (*client)(nil)

// Offer takes a message or a gap.
func (c *client) Offer(a *session.Attachment, f stream.Frame) bool {
	return c.out.offer(a, f, nil)
}

// OfferNoted takes a message that wants a receipt.
func (c *client) OfferNoted(a *session.Attachment, f stream.Frame, n *stream.Note) bool {
	return c.out.offer(a, f, n)
}

// Unwritten calls each with the messages that were taken and are not sent.
func (c *client) Unwritten(each func(op []byte) bool) { c.out.unwritten(each) }

// Offered returns how often Offer was called.
func (c *client) Offered() uint64 { return c.out.offered() }

// Port names the port.
func (c *client) Port() string { return "sse" }

// Pending returns what waits in the outbox.
func (c *client) Pending() (frames, bytes int) { return c.out.pending() }

// SendCursor sends an id without data, or a cursor op if the client asked for that.
func (c *client) SendCursor(a *session.Attachment, at domain.Cursor, offers uint64) bool {
	if c.cursorOps {
		return c.out.takeIfQuiet(item{of: a, op: session.CursorNotice(a.System(), at)}, offers)
	}
	return c.out.takeIfQuiet(item{of: a, cursor: at.Append(nil)}, offers)
}

// Notify sends a notice. If the outbox has no room for it, the client is not reading,
// and is closed.
func (c *client) Notify(op []byte) {
	if c.out.reply(op) || c.out.farewell() != nil {
		return
	}
	c.server.counters.dropped.Add(1)
	c.Close(session.CloseSlow, "too many notices are waiting")
}

// NotifyIfRoom sends a notice that can wait. It has no more room than a message.
func (c *client) NotifyIfRoom(op []byte) bool { return c.out.replyIfRoom(op) }

// Disconnect notifies the client that it is disconnected, and closes the session.
func (c *client) Disconnect(code int, reason string, final bool) {
	c.out.reply(session.DisconnectNotice(code, reason, final)) // else the farewell says most of it
	c.closeWith(code, reason, final)
}

// Close ends the session after what is in its outbox, and at the latest after
// Config.CloseWait. It never blocks. Only the first call counts.
func (c *client) Close(code int, reason string) {
	c.closeWith(code, reason, code == session.CloseForbidden || code == session.CloseReplaced)
}

// closeWith is Close. With stop the client is not to come back by itself.
func (c *client) closeWith(code int, reason string, stop bool) {
	op := append([]byte(`{"op":"close","code":`), strconv.Itoa(code)...)
	op = jsontext.AppendString(append(op, `,"reason":`...), reason)
	c.end(farewell{op: append(op, '}'), code: code, stop: stop})
}

// GoAway asks the client to connect elsewhere. An EventSource by itself does not look at
// events. It comes back when the stream ends, after retry.
func (c *client) GoAway(retry, grace time.Duration) {
	op, retry := session.GoawayNotice(retry, grace), max(retry, time.Millisecond)
	if grace == 0 {
		c.end(farewell{op: op, code: session.CloseGoingAway, retry: retry})
	} else if !c.out.ask(op, retry) {
		c.Close(session.CloseGoingAway, "the node drains")
	}
}

// end lets the farewell follow what is in the outbox.
func (c *client) end(f farewell) {
	if c.out.close(f) {
		c.writeBy(c.server.now().Add(c.server.cfg.CloseWait))
	}
}

// Abort makes the write in flight fail, and all that follow.
func (c *client) Abort() { c.writeBy(c.server.now()) }

// writeBy sets the deadline of all writes from now on.
func (c *client) writeBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.closeBy, c.deadline = t, t
	_ = c.control.SetWriteDeadline(t) // arm has checked that deadlines can be set
}

// arm gives the next write Config.Stall. The deadline is moved only if it would move by
// more than a second, since to move it costs a part of what a write costs.
func (c *client) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stall := c.server.cfg.Stall
	t, slack := c.server.now().Add(stall), min(time.Second, stall/8)
	if d := t.Sub(c.deadline); !c.closeBy.IsZero() || d <= slack {
		return nil
	}
	c.deadline = t
	return c.control.SetWriteDeadline(t)
}

// disarm takes the deadline back after a write, where it would end an idle session.
func (c *client) disarm() error {
	if !c.idleTimed {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closeBy.IsZero() {
		return nil
	}
	c.deadline = time.Time{}
	return c.control.SetWriteDeadline(c.deadline)
}

// finish ends the use of the response: no deadline is set after it. It reports whether
// the write deadline has passed.
func (c *client) finish() (late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	return !c.deadline.IsZero() && !c.server.now().Before(c.deadline)
}

// serve writes until the session is closed or the client has gone, and returns the
// close code of the session.
func (c *client) serve(ctx context.Context) (code int) {
	every := c.server.cfg.Heartbeat
	beat := time.NewTimer(every)
	defer beat.Stop()
	var err error
	done, gone := false, false
	for !done && !gone && err == nil {
		select {
		case <-c.out.wake:
			done, err = c.work()
			beat.Reset(every)
		case <-beat.C:
			err = c.write([]byte(heartbeat))
			beat.Reset(every)
		case <-ctx.Done():
			gone = true
		}
	}
	late := c.finish()
	switch f := c.out.farewell(); {
	case f != nil:
		return f.code
	case late && !gone:
		return session.CloseSlow
	default:
		return session.CloseAbnormal
	}
}

// work writes what waits until nothing does. It returns true for done once it has
// written the farewell.
func (c *client) work() (done bool, err error) {
	for {
		queue, last := c.out.next()
		if queue == nil && last == nil {
			return false, nil
		}
		if err := c.perform(queue, last); err != nil {
			return true, err
		}
		fill := c.out.sent()
		if last != nil {
			return true, nil
		}
		if fill {
			c.server.counters.fellBack.Add(1)
			c.Fill()
		}
	}
}

// perform writes the events of a queue, several in one write, and then the farewell if
// there is one.
func (c *client) perform(queue *[]item, last *farewell) (err error) {
	b := takeBundle()
	defer putBundle(b)
	if queue != nil {
		for i := range *queue {
			c.script.addTo(b, &(*queue)[i])
			if len(b.text) >= chunk {
				if err := c.send(b); err != nil {
					return err
				}
			}
		}
	}
	if last != nil {
		b.text = c.script.end(b.text, last)
		b.events++
	} else {
		b.text = c.script.settle(b.text)
	}
	return c.send(b)
}

// send writes a bundle, and counts and empties it.
func (c *client) send(b *bundle) error {
	if err := c.write(b.text); err != nil {
		return err
	}
	for _, n := range b.notes {
		c.Wrote(n)
	}
	c.server.counters.sent(b)
	b.empty()
	return nil
}

// chunk is how many bytes are written before the deadline is moved on.
const chunk = 32 << 10

// write writes p in chunks. Each chunk has Config.Stall, so that a slow client has time
// as long as there is progress.
func (c *client) write(p []byte) error {
	for len(p) > 0 {
		part := p[:min(len(p), chunk)]
		p = p[len(part):]
		if err := c.arm(); err != nil {
			return err
		}
		if _, err := c.w.Write(part); err != nil {
			return err
		}
		if err := c.control.Flush(); err != nil {
			return err
		}
		c.server.counters.bytesOut.Add(uint64(len(part)))
		c.server.counters.writesOut.Add(1)
	}
	return c.disarm()
}
