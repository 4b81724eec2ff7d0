package ws

import (
	"context"
	"errors"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/ports/session"
)

// What clients say is worked off in the read pump, one op after the other: a
// publish holds up its own session only, for at most Config.Publish, and what
// the client sends meanwhile waits in its own socket.

// mostFails errors in a row end a session.
const mostFails = 10

// receive takes what a client sent.
func (c *client) receive(data []byte, binary bool) {
	if c.closing.Load() {
		return
	}
	c.server.counters.messagesIn.Add(1)
	c.server.counters.bytesIn.Add(uint64(len(data)))
	switch {
	case !binary && !utf8.Valid(data): // RFC 6455, 8.1
		c.count(refuse(Invalid, "not UTF-8"))
		c.Close(session.CloseNotUTF8, "not UTF-8")
	case c.plain && len(data) > c.server.cfg.MessageBytes:
		c.Close(session.CloseTooBig, "too big")
	case c.plain:
		err := c.say(data, binary)
		c.count(err)
		c.judgePlain(err)
	case !binary:
		c.receiveOps(data)
	case !c.allow(1, len(data)):
		c.answer(nil, nil, refuse(RateLimited, "too much at once"))
	default:
		c.answer(nil, nil, refuse(Unsupported, "want ops in text frames"))
	}
}

func (c *client) receiveOps(data []byte) {
	ops, size := NewOps(data), len(data)
	for first := true; !c.closing.Load(); first = false {
		op, err := ops.Next()
		if errors.Is(err, io.EOF) {
			if first {
				c.answer(nil, nil, refuse(Invalid, "empty"))
			}
			return
		}
		if !c.allow(op.cost(), size) {
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
func (c *client) answer(ref, ok []byte, err error) {
	c.count(err)
	if err == nil {
		c.Notify(ok)
	} else {
		e := asOpError(err)
		c.Notify(errorAnswer(ref, e.Code, e.Message))
	}
	c.judge(err)
}

func (c *client) count(err error) {
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
func (c *client) judge(err error) {
	switch {
	case err == nil:
		c.fails = 0
	case asOpError(err).Code != BusDown && asOpError(err).Code != Busy:
		c.fails++
	}
	if c.fails >= mostFails {
		c.Close(session.ClosePolicy, "too many errors in a row")
	}
}

// judgePlain is judge for a plain client. It gets no answers: so what will be
// refused again, however often it is sent, ends the session with the reason.
func (c *client) judgePlain(err error) {
	switch {
	case err == nil:
	case errors.Is(err, domain.ErrInboundFull):
		c.Close(session.CloseTryLater, asOpError(err).Message)
		return
	case asOpError(err).Code == Forbidden:
		c.Close(session.CloseForbidden, asOpError(err).Message)
		return
	}
	c.judge(err)
}

// allow holds the client to its rates, and to its user's. What an op has beside
// the largest data does not count: the meters have no room for it.
func (c *client) allow(cost, bytes int) bool {
	bytes = min(bytes, c.server.cfg.MessageBytes)
	if c.meter == nil {
		c.meter = session.NewMeter(c.server.cfg.SessionRate, c.server.cfg.MessageBytes)
		c.mine = c.UserMeter(c.server.cfg.UserRate, c.server.cfg.MessageBytes)
	}
	now := c.server.now()
	return c.meter.Allow(now, cost, bytes) && (c.mine == nil || c.mine.Allow(now, cost, bytes))
}

// What an op costs, in plain ops: a look at what a room has missed, and the
// check of a signature.
const (
	costOfSince = 2
	costOfToken = 10
)

func (op *Op) cost() int {
	switch {
	case op.Name == "auth":
		return costOfToken
	case op.Since != (domain.Cursor{}):
		return costOfSince
	}
	return 1
}

// do carries out an op, and returns the answer to it.
func (c *client) do(op *Op) (ok []byte, err error) {
	if op.Name == "auth" {
		return okAnswer(op.Ref, ""), c.refresh(op.Token)
	}
	a := c.Find(op.System)
	if a == nil {
		return nil, refuse(NotFound, "not attached to system %s", op.System)
	}
	switch op.Name {
	case "join":
		return c.join(a, op)
	case "leave":
		a.Leave(op.Room)
		return okAnswer(op.Ref, ""), nil
	default:
		id, err := c.send(op)
		return okAnswer(op.Ref, id), err
	}
}

// join lets the session hear a room. With a cursor, what it missed there comes
// before the answer, which the stream gives then.
func (c *client) join(a *session.Attachment, op *Op) (ok []byte, err error) {
	rooms, most := c.Rooms()
	switch {
	case !c.Grant.MayJoin(op.System, op.Room.Name()):
		return nil, refuse(Forbidden, "the token does not allow this room")
	case rooms >= most && !slices.Contains(a.Rooms(), op.Room):
		return nil, refuse(TooLarge, "at most %d rooms", most)
	}
	ok = okAnswer(op.Ref, "")
	if op.Since == (domain.Cursor{}) {
		a.Join(op.Room)
		return ok, nil
	}
	if !a.JoinSince(op.Room, op.Since, ok) {
		return nil, refuse(Busy, "the session is still finding an earlier place: try again in a moment")
	}
	return nil, nil
}

func (c *client) send(op *Op) (id string, err error) {
	for _, t := range op.To {
		if !c.Grant.MaySend(op.System, t) {
			return "", refuse(Forbidden, "the token does not allow sending to %s", t)
		}
	}
	m := op.Send
	m.To = op.To
	return m.ID, c.publish(op.System, m)
}

// say sends what a plain client said to the business system.
func (c *client) say(data []byte, binary bool) error {
	if !c.allow(1, len(data)) {
		return refuse(RateLimited, "too much at once")
	}
	m := &domain.Message{}
	var err error
	switch {
	case binary:
		err = m.SetData(domain.Binary, data)
	default:
		err = envelope.Sniff(m, data)
	}
	if err != nil {
		return err
	}
	return c.publish(c.Attachments()[0].System(), m)
}

// publish puts the message on the bus, to its targets or else to the business
// system. It gives it an id if it has none.
func (c *client) publish(system domain.System, m *domain.Message) error {
	if m.ID == "" {
		m.ID = domain.NewID()
	}
	m.From, m.Time = c.User, c.server.now()
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
	case c.Grant.MaySendInbound(system):
		err = c.server.pub.Inbound(ctx, system, m, c.ID)
	default:
		err = refuse(Forbidden, "the token does not grant sending: it needs %s/inbound", system)
	}
	if err != nil {
		c.server.log.Debug("ws: a client's message was not published", "system", system, "user", c.User, "session", c.ID, "err", err)
	}
	return err
}

// refresh replaces the token. What the new one lacks is left.
func (c *client) refresh(token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.server.cfg.Publish)
	defer cancel()
	grant, err := c.Refresh(ctx, token)
	var locked *session.Rejection
	switch {
	case errors.Is(err, domain.ErrUnsupported):
		return refuse(Unsupported, "this node takes no tokens")
	case errors.As(err, &locked):
		return refuse(RateLimited, "%s", locked.Detail)
	case errors.Is(err, domain.ErrUnauthenticated):
		return refuse(Forbidden, "%s", session.TokenDetail("not a valid token", err))
	case err != nil:
		return refuse(Busy, "the token cannot be checked now: try again")
	}
	c.Grant = grant
	c.SetExpiry(grant.Expires)
	c.restrict()
	return nil
}

// restrict leaves what the grant does not hold.
func (c *client) restrict() {
	for _, a := range c.Keep(func(a *session.Attachment) bool { return c.Grant.MayAttach(a.System()) }) {
		c.Notify(leftNotice(a.System(), ""))
	}
	for _, a := range c.Attachments() {
		for _, room := range slices.Clone(a.Rooms()) {
			if !c.Grant.MayJoin(a.System(), room.Name()) {
				a.Leave(room)
				c.Notify(leftNotice(a.System(), room.Name()))
			}
		}
	}
	if len(c.Attachments()) == 0 {
		c.Close(session.CloseForbidden, "the token allows none of the systems")
	}
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
	case errors.Is(err, domain.ErrBusFull):
		return &OpError{BusDown, "the bus is full; send it again later, with the same id"}
	case errors.Is(err, domain.ErrBusRefused): // whatever the reason: it lies with the node, not the client
		return &OpError{BusDown, "the bus refuses to take it; send it again later, with the same id"}
	case errors.Is(err, domain.ErrUnauthenticated):
		return &OpError{Forbidden, "not a valid token"}
	case errors.Is(err, domain.ErrForbidden):
		return &OpError{Forbidden, "not allowed"}
	case errors.Is(err, domain.ErrTooLarge):
		return &OpError{TooLarge, "too large for the bus"}
	case errors.Is(err, domain.ErrInboundFull):
		return &OpError{RateLimited, "what was sent to the system before is not consumed yet: send it again later, with the same id"}
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
