package ws

import (
	"errors"
	"io"
	"unicode/utf8"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/ports/session"
)

// What a client sends is handled in melody's read pump, one op after the other. So a
// publish holds up its own session only, for at most Config.Publish, and what the
// client sends meanwhile waits in its own socket.

// maxErrorsInRow is how many errors in a row end a session.
const maxErrorsInRow = 10

// receive handles a message from the client.
func (c *client) receive(data []byte, binary bool) {
	if c.closing.Load() {
		return
	}
	c.server.counters.messagesIn.Add(1)
	c.server.counters.bytesIn.Add(uint64(len(data)))
	switch {
	case !binary && !utf8.Valid(data): // RFC 6455 §8.1
		c.count(refuse(Invalid, "not UTF-8"))
		c.Close(session.CloseNotUTF8, "not UTF-8")
	case c.plain && len(data) > c.server.cfg.MessageBytes:
		c.Close(session.CloseTooBig, "too big")
	case c.plain:
		err := c.publishPlain(data, binary)
		c.count(err)
		c.endIfPlainFails(err)
	case !binary:
		c.receiveOps(data)
	case !c.allow(1, len(data)):
		c.answer(nil, nil, refuse(RateLimited, "too much at once"))
	default:
		c.answer(nil, nil, refuse(Unsupported, "want ops in text frames"))
	}
}

// receiveOps carries out the ops of one message. The message's size counts with its
// first op.
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
			ok, err = c.execute(&op)
		}
		c.answer(op.Ref, ok, err)
	}
}

// answer sends the answer to an op: ok, or an error. If both are nil, the answer
// comes later: see join.
func (c *client) answer(ref, ok []byte, err error) {
	c.count(err)
	if err == nil {
		c.Notify(ok)
	} else {
		e := asOpError(err)
		c.Notify(errorAnswer(ref, e.Code, e.Message))
	}
	c.countError(err)
}

// count counts an error for the metrics. It does nothing if err is nil.
func (c *client) count(err error) {
	if err == nil {
		return
	}
	c.server.counters.countError(asOpError(err).Code)
}

// countError ends a session that makes nothing but errors. Errors that are not the
// client's fault do not count: the bus is down, or an earlier op is not done yet.
func (c *client) countError(err error) {
	switch {
	case err == nil:
		c.errorsInRow = 0
	case asOpError(err).Code != BusDown && asOpError(err).Code != Busy:
		c.errorsInRow++
	}
	if c.errorsInRow >= maxErrorsInRow {
		c.Close(session.ClosePolicy, "too many errors in a row")
	}
}

// endIfPlainFails is countError for a plain client. Plain clients get no answers, so
// an error that would come again for every message ends the session, with the reason.
func (c *client) endIfPlainFails(err error) {
	switch {
	case err == nil:
	case errors.Is(err, domain.ErrInboundFull):
		c.Close(session.CloseTryLater, asOpError(err).Message)
		return
	case asOpError(err).Code == Forbidden:
		c.Close(session.CloseForbidden, asOpError(err).Message)
		return
	}
	c.countError(err)
}

// allow reports whether an op is within the rates of the session and of its user.
// Of the bytes, no more count than the largest data has: the meters would never
// allow more, and an op has other members beside its data.
func (c *client) allow(cost, bytes int) bool {
	cfg := &c.server.cfg
	bytes = min(bytes, cfg.MessageBytes)
	if c.meter == nil {
		c.meter = session.NewMeter(cfg.SessionRate, cfg.MessageBytes)
		c.userMeter = c.UserMeter(cfg.UserRate, cfg.MessageBytes)
	}
	now := c.server.now()
	return c.meter.Allow(now, cost, bytes) &&
		(c.userMeter == nil || c.userMeter.Allow(now, cost, bytes))
}

// What an op costs more than others, in ops: to look for what was missed in a room, to
// say who is in a place, and to check a token's signature.
const (
	costOfSince = 2
	costOfLast  = 10 // it may search a log
	costOfWatch = 2
	costOfToken = 10
)

func (op *Op) cost() int {
	switch {
	case op.Name == "auth":
		return costOfToken
	case op.Name == "presence":
		return costOfWatch
	case op.Since != (domain.Cursor{}):
		return costOfSince
	case !op.Last.IsZero():
		return costOfLast
	}
	return 1
}

// publishPlain publishes what a plain client sends, to the business system.
func (c *client) publishPlain(data []byte, binary bool) error {
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
