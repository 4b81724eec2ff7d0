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

// A client is a session over Server-Sent Events: its session.Conn. The request's
// goroutine writes; the streams and the Registry call the rest.
type client struct {
	*session.Session
	server  *Server
	out     outbox
	script  *script // serve's
	cursors bool    // the client does not keep ids, and wants cursor ops

	w     http.ResponseWriter // serve's
	http  *http.ResponseController
	timed bool // the deadline is the stream's and not the write's: it ends even one that is idle

	mu      sync.Mutex
	set     time.Time // the write deadline; guarded by mu
	closeBy time.Time // no later one is set; zero for never; guarded by mu
	over    bool      // the response is not ours any more; guarded by mu
}

var _ session.Conn = (*client)(nil)

// Offer takes a message or a gap.
func (c *client) Offer(a *session.Attachment, f stream.Frame) bool { return c.out.offer(a, f.Bytes) }

// Offered is how often something was offered.
func (c *client) Offered() uint64 { return c.out.offered() }

// SendCursor moves the id, without an event that the client could see unless it
// asked for that.
func (c *client) SendCursor(a *session.Attachment, at domain.Cursor, offers uint64) bool {
	if c.cursors {
		return c.out.move(item{of: a, op: session.CursorNotice(a.System(), at)}, offers)
	}
	return c.out.move(item{of: a, place: at.Append(nil)}, offers)
}

// Notify gives a notice. A client that lets many of them pile up is not reading.
func (c *client) Notify(op []byte) {
	if c.out.reply(op) || c.out.farewell() != nil {
		return
	}
	c.server.counters.dropped.Add(1)
	c.Close(session.CloseSlow, "too many notices are waiting")
}

// Close ends the session after what is in its outbox, and at the latest after
// Config.CloseWait. It never blocks; the first call counts.
func (c *client) Close(code int, reason string) {
	op := append([]byte(`{"op":"close","code":`), strconv.Itoa(code)...)
	op = jsontext.AppendString(append(op, `,"reason":`...), reason)
	stop := code == session.CloseDisconnected || code == session.CloseReplaced
	c.end(farewell{op: append(op, '}'), code: code, stop: stop})
}

// GoAway ends the session for a drain.
func (c *client) GoAway(retry time.Duration) {
	c.end(farewell{op: session.GoawayNotice(retry), code: session.CloseGoingAway, retry: max(retry, time.Millisecond)})
}

func (c *client) end(f farewell) {
	if c.out.close(f) {
		c.writeBy(c.server.now().Add(c.server.cfg.CloseWait))
	}
}

// Abort lets the write in flight fail, and all that follow.
func (c *client) Abort() { c.writeBy(c.server.now()) }

// writeBy bounds all writes from now on.
func (c *client) writeBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.closeBy, c.set = t, t
	_ = c.http.SetWriteDeadline(t) // it could be set before
}

// arm gives the next write its time. The deadline is moved only if it is off
// by more than a second: to move it costs a part of a write.
func (c *client) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stall := c.server.cfg.Stall
	t, slack := c.server.now().Add(stall), min(time.Second, stall/8)
	if d := t.Sub(c.set); !c.closeBy.IsZero() || d <= slack {
		return nil
	}
	c.set = t
	return c.http.SetWriteDeadline(t)
}

// disarm takes back what arm did, where an idle session needs that.
func (c *client) disarm() error {
	if !c.timed {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closeBy.IsZero() {
		return nil
	}
	c.set = time.Time{}
	return c.http.SetWriteDeadline(c.set)
}

// finish gives the response back. Late says whether the write deadline has
// passed.
func (c *client) finish() (late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	return !c.set.IsZero() && !c.server.now().Before(c.set)
}

// serve writes until the session is closed, or the client has gone, and
// returns the code for it.
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

// work writes what waits until nothing does; done means that the farewell was
// written.
func (c *client) work() (done bool, err error) {
	for {
		queue, last := c.out.next()
		if queue == nil && last == nil {
			return false, nil
		}
		if err := c.perform(queue, last); err != nil || last != nil {
			return true, err
		}
		if c.out.sent() {
			c.server.counters.fellBack.Add(1)
			c.Fill()
		}
	}
}

// perform writes events, several at a time.
func (c *client) perform(queue *[]item, last *farewell) (err error) {
	b := takeBuffer()
	defer func() { putBuffer(b) }()
	if queue != nil {
		defer putQueue(queue)
		for _, i := range *queue {
			*b = c.script.add(*b, i)
			if len(*b) >= chunk {
				if err := c.write(*b); err != nil {
					return err
				}
				*b = (*b)[:0]
			}
		}
		c.server.counters.framesOut.Add(uint64(len(*queue)))
	}
	if last != nil {
		*b = c.script.end(*b, last)
		c.server.counters.framesOut.Add(1)
	} else {
		*b = c.script.settle(*b)
	}
	return c.write(*b)
}

// chunk is how much is written before progress is noted.
const chunk = 32 << 10

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
		if err := c.http.Flush(); err != nil {
			return err
		}
		c.server.counters.bytesOut.Add(uint64(len(part)))
		c.server.counters.writesOut.Add(1)
	}
	return c.disarm()
}

// buffers holds what writes are put together in, so that idle sessions have
// none.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 4096)
	return &b
}}

func takeBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) <= 4*chunk {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}
