package ws

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"github.com/fanfarebus/fanfare/domain"
)

// What clients say is worked off in the read pump, one op after the other: a
// publish holds up its own session only, for at most Config.Publish, and what
// the client sends meanwhile waits in its own socket.

// mostFails errors in a row end a session.
const mostFails = 10

// receive takes what a client sent.
func (c *session) receive(data []byte, binary bool) {
	if c.closing.Load() {
		return
	}
	c.server.counters.messagesIn.Add(1)
	c.server.counters.bytesIn.Add(uint64(len(data)))
	switch {
	case c.plain:
		err := c.say(data, binary)
		c.count(err)
		c.judge(err)
	case binary:
		c.answer(nil, nil, refuse(Unsupported, "want ops in text frames"))
	default:
		c.receiveOps(data)
	}
}

func (c *session) receiveOps(data []byte) {
	ops, size := NewOps(data), len(data)
	for first := true; !c.closing.Load(); first = false {
		op, err := ops.Next()
		if errors.Is(err, io.EOF) {
			if first {
				c.answer(nil, nil, refuse(Invalid, "empty"))
			}
			return
		}
		if !c.allow(size) {
			err = refuse(RateLimited, "too much at once")
		}
		size = 0
		var ok []byte
		if err == nil {
			ok, err = c.do(&op)
		}
		c.answer(op.Ref, ok, err)
	}
}

// answer tells what became of an op. No ok without an error means that the
// answer takes its time.
func (c *session) answer(ref, ok []byte, err error) {
	c.count(err)
	if err == nil {
		c.tell(ok)
	} else {
		e := asOpError(err)
		c.tell(errorAnswer(ref, e.Code, e.Message))
	}
	c.judge(err)
}

func (c *session) count(err error) {
	if err == nil {
		return
	}
	c.server.counters.errors.Add(1)
	if asOpError(err).Code == RateLimited {
		c.server.counters.rateLimited.Add(1)
	}
}

// judge ends a session that makes nothing but errors. That the bus is down, or
// that an earlier op takes its time, is not its fault.
func (c *session) judge(err error) {
	switch {
	case err == nil:
		c.fails = 0
	case asOpError(err).Code != BusDown && asOpError(err).Code != Busy:
		c.fails++
	}
	if c.fails >= mostFails {
		c.close(ClosePolicy, "too many errors in a row")
	}
}

// allow holds the client to its rates, and to its user's.
func (c *session) allow(bytes int) bool {
	if c.meter == nil {
		c.meter = newMeter(c.server.cfg.SessionRate, c.server.cfg.MessageBytes)
		c.mine = c.server.userMeter(c.name)
	}
	now := c.server.now()
	return c.meter.allow(now, bytes) && (c.mine == nil || c.mine.allow(now, bytes))
}

// do carries out an op, and returns the answer to it.
func (c *session) do(op *Op) (ok []byte, err error) {
	if op.Name == "auth" {
		return okAnswer(op.Ref, ""), c.refresh(op.Token)
	}
	a := c.find(op.System)
	if a == nil {
		return nil, refuse(NotFound, "not attached to system %s", op.System)
	}
	switch op.Name {
	case "join":
		return c.join(a, op)
	case "leave":
		a.leave(op.Room)
		return okAnswer(op.Ref, ""), nil
	default:
		id, err := c.send(op)
		return okAnswer(op.Ref, id), err
	}
}

// join lets the session hear a room. With a cursor, what it missed there comes
// before the answer, which the stream gives then.
func (c *session) join(a *attachment, op *Op) (ok []byte, err error) {
	rooms := 0
	for _, a := range c.systems {
		rooms += len(a.rooms)
	}
	switch {
	case !c.grant.MayJoin(op.System, op.Room.Name()):
		return nil, refuse(Forbidden, "the token does not allow this room")
	case rooms >= c.server.cfg.Rooms && !slices.Contains(a.rooms, op.Room):
		return nil, refuse(TooLarge, "at most %d rooms", c.server.cfg.Rooms)
	}
	ok = okAnswer(op.Ref, "")
	if op.Since == (domain.Cursor{}) {
		a.join(op.Room)
		return ok, nil
	}
	if !a.joinSince(op.Room, op.Since, ok) {
		return nil, refuse(Busy, "the session is still finding an earlier place: try again in a moment")
	}
	return nil, nil
}

func (c *session) send(op *Op) (id string, err error) {
	for _, t := range op.To {
		if !c.grant.MaySend(op.System, t) {
			return "", refuse(Forbidden, "the token does not allow sending to %s", t)
		}
	}
	m := op.Send
	m.To = op.To
	return m.ID, c.publish(op.System, m)
}

// say sends what a plain client said to the business system.
func (c *session) say(data []byte, binary bool) error {
	if !c.allow(len(data)) {
		return refuse(RateLimited, "too much at once")
	}
	m := &domain.Message{Data: data}
	switch {
	case binary:
		m.ContentType = domain.Binary
	case !utf8.Valid(data):
		return refuse(Invalid, "not UTF-8")
	case json.Valid(data):
		m.ContentType, m.Data = domain.JSON, oneLine(data)
	default:
		m.ContentType = domain.Text
	}
	return c.publish(c.systems[0].lease.System(), m)
}

// publish puts the message on the bus, to its targets or else to the business
// system. It gives it an id if it has none.
func (c *session) publish(system domain.System, m *domain.Message) error {
	if m.ID == "" {
		m.ID = ulid.Make().String()
	}
	m.From, m.Time = c.name, c.server.now()
	checked := *m
	if len(m.To) == 0 {
		checked.To = []domain.Target{domain.Everyone} // what Check wants to see
	}
	if err := checked.Check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.server.cfg.Publish)
	defer cancel()
	var err error
	switch {
	case len(m.To) > 0:
		err = c.server.pub.Publish(ctx, system, m)
	case c.grant.MaySendInbound(system):
		err = c.server.pub.Inbound(ctx, system, m, c.id)
	default:
		err = refuse(Forbidden, "the token does not allow sending to the system")
	}
	if err != nil {
		c.server.log.Debug("ws: a client's message was not published", "system", system, "user", c.name, "session", c.id, "err", err)
	}
	return err
}

// refresh replaces the token. What the new one lacks is left.
func (c *session) refresh(token string) error {
	if c.server.auth == nil {
		return refuse(Unsupported, "this node takes no tokens")
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.server.cfg.Publish)
	defer cancel()
	grant, err := c.server.auth.Authenticate(ctx, token)
	switch {
	case err != nil:
		return err
	case grant.User != c.name:
		return refuse(Forbidden, "the token is another user's")
	case !grant.Expires.IsZero() && !grant.Expires.After(c.server.now()):
		return refuse(Forbidden, "the token has expired")
	}
	c.grant = grant
	c.setExpiry(grant.Expires)
	c.restrict()
	return nil
}

// restrict leaves what the grant does not hold.
func (c *session) restrict() {
	var kept, lost []*attachment
	for _, a := range c.systems {
		if c.grant.MayAttach(a.lease.System()) {
			kept = append(kept, a)
		} else {
			lost = append(lost, a)
		}
	}
	c.mu.Lock()
	c.systems = kept
	c.mu.Unlock()
	for _, a := range lost {
		a.detach()
		c.tell(leftNotice(a.lease.System(), ""))
	}
	for _, a := range kept {
		for _, room := range slices.Clone(a.rooms) {
			if !c.grant.MayJoin(a.lease.System(), room.Name()) {
				a.leave(room)
				c.tell(leftNotice(a.lease.System(), room.Name()))
			}
		}
	}
	if len(kept) == 0 {
		c.close(CloseForbidden, "the token allows none of the systems")
	}
}

// find returns the session's part in a system, nil if it has none. Only the
// read pump changes what it looks at.
func (c *session) find(system domain.System) *attachment {
	for _, a := range c.systems {
		if a.lease.System() == system {
			return a
		}
	}
	return nil
}

// asOpError turns any error into an answer, in this one place.
func asOpError(err error) *OpError {
	var op *OpError
	var field *domain.FieldError
	switch {
	case errors.As(err, &op):
		return op
	case errors.As(err, &field):
		return &OpError{Invalid, field.Error()}
	case errors.Is(err, domain.ErrUnauthenticated):
		return &OpError{Forbidden, "not a valid token"}
	case errors.Is(err, domain.ErrForbidden):
		return &OpError{Forbidden, "not allowed"}
	case errors.Is(err, domain.ErrTooLarge):
		return &OpError{TooLarge, "too large for the bus"}
	case errors.Is(err, domain.ErrLimit):
		return &OpError{RateLimited, "the node is busy"}
	case errors.Is(err, domain.ErrNotServed):
		return &OpError{NotFound, "the system is not served"}
	case errors.Is(err, domain.ErrUnsupported):
		return &OpError{Unsupported, "the bus can not do this"}
	default:
		return &OpError{BusDown, "the bus did not take it in time; sending again with the same id is safe"}
	}
}
