package ws

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
)

// execute carries out an op, and returns the answer to it.
func (c *client) execute(op *Op) (ok []byte, err error) {
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
		if a.Assigned(op.Room) {
			return nil, refuse(Forbidden, "the server side has put you into this room")
		}
		a.Leave(op.Room)
		return okAnswer(op.Ref, ""), nil
	case "presence":
		return c.watch(a, op)
	default:
		id, err := c.send(op)
		return okAnswer(op.Ref, id), err
	}
}

// join lets the session hear a room. With a cursor, or if the client wants the room's last
// messages, the stream first offers what the client missed there and then the answer, so
// join itself returns none.
func (c *client) join(a *session.Attachment, op *Op) (ok []byte, err error) {
	rooms, most := c.Rooms()
	switch {
	case !c.Grant.MayJoin(op.System, op.Room.Name()):
		return nil, refuse(Forbidden, "this room is not granted")
	case rooms >= most && !slices.Contains(a.Rooms(), op.Room):
		return nil, refuse(TooLarge, "at most %d rooms", most)
	}
	ok = okAnswer(op.Ref, "")
	joined := true
	switch {
	case op.Since != (domain.Cursor{}):
		joined = a.JoinSince(op.Room, op.Since, ok)
	case !op.Last.IsZero():
		joined = a.JoinLast(context.Background(), op.Room, op.Last, func(missing domain.GapReason) []byte {
			return okWithLast(op.Ref, missing)
		})
	default:
		a.Join(op.Room)
		return ok, nil
	}
	if !joined {
		return nil, refuse(Busy,
			"the session is still finding an earlier place: try again in a moment")
	}
	return nil, nil
}

// watch lets the client know who is in a place from now on, or no more. The answer comes
// before the state of the place, so watch itself returns none if there is one.
func (c *client) watch(a *session.Attachment, op *Op) (ok []byte, err error) {
	ok = okAnswer(op.Ref, "")
	p := control.Place{System: op.System, Room: op.Room.Name()}
	switch {
	case op.Watch == WatchNothing:
		c.Unwatch(p)
		return ok, nil
	case !c.Grant.MayWatch(p.System, p.Room):
		return nil, refuse(Forbidden, "to see who is here is not granted")
	case !a.HasPresence():
		return nil, refuse(Unsupported, "presence is not kept for system %s", p.System)
	case !c.Watch(p, op.Watch == WatchUsers, ok):
		return nil, refuse(Invalid, "at most %d places can be watched", c.MaxWatches())
	}
	return nil, nil
}

// send publishes a client's message, and returns its id.
func (c *client) send(op *Op) (id string, err error) {
	for _, t := range op.To {
		if !c.Grant.MaySend(op.System, t) {
			return "", refuse(Forbidden, "sending to %s is not granted", t)
		}
	}
	m := op.Send
	m.To = op.To
	err = c.publish(op.System, m) // which may set the id
	return m.ID, err
}

// publish puts a message on the bus: for its targets, or for the business system if
// it has none. It gives the message an id if it has none.
func (c *client) publish(system domain.System, m *domain.Message) error {
	if m.ID == "" {
		m.ID = domain.NewID()
	}
	m.From, m.Time = c.User, c.server.now()
	if err := check(m); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.server.cfg.Publish)
	defer cancel()
	var err error
	switch {
	case len(m.To) > 0:
		_, err = c.server.pub.Publish(ctx, system, m)
	case c.Grant.MaySendInbound(system):
		err = c.server.pub.Inbound(ctx, system, m, c.ID)
	default:
		err = refuse(Forbidden, "sending is not granted: it needs %s/inbound", system)
	}
	if err != nil {
		c.server.log.Debug("ws: a client's message was not published",
			"system", system, "user", c.User, "session", c.ID, "err", err)
	}
	return err
}

// check checks a message by the rules of all messages, except that it may have no
// targets.
func check(m *domain.Message) error {
	checked := *m
	if len(m.To) == 0 {
		checked.To = []domain.Target{domain.Everyone}
	}
	return checked.Check()
}

// refresh replaces the session's token, and leaves what the new one does not grant.
func (c *client) refresh(token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.server.cfg.Publish)
	defer cancel()
	grant, err := c.Refresh(ctx, token)
	var rejection *session.Rejection
	switch {
	case errors.Is(err, domain.ErrUnsupported):
		return refuse(Unsupported, "this node takes no tokens: connect again to renew a login")
	case errors.As(err, &rejection) && rejection.Status == http.StatusTooManyRequests:
		return refuse(RateLimited, "%s", rejection.Detail)
	case errors.As(err, &rejection): // blocked or revoked
		return refuse(Forbidden, "%s", rejection.Detail)
	case errors.Is(err, domain.ErrUnauthenticated):
		return refuse(Forbidden, "%s", session.TokenDetail("not a valid token", err))
	case err != nil:
		return refuse(Busy, "the token cannot be checked now: try again")
	}
	c.Renew(grant)
	c.restrict()
	return nil
}

// restrict leaves the systems and rooms that the session's token does not grant, and
// closes the session if no system is left.
func (c *client) restrict() {
	lost := c.Keep(func(a *session.Attachment) bool { return c.Grant.MayAttach(a.System()) })
	for _, a := range lost {
		c.Notify(session.LeftNotice(a.System(), "", "token"))
	}
	c.restrictWatches()
	for _, a := range c.Attachments() {
		for _, room := range slices.Clone(a.Rooms()) {
			if !c.Grant.MayJoin(a.System(), room.Name()) && a.Leave(room) {
				c.Notify(session.LeftNotice(a.System(), room.Name(), "token"))
			}
		}
	}
	if len(c.Attachments()) == 0 {
		c.Close(session.CloseForbidden, "the token allows none of the systems")
	}
}

// restrictWatches stops telling the client who is in places for which the session's token
// does not grant that.
func (c *client) restrictWatches() {
	lost := c.KeepWatching(func(p control.Place) bool {
		return c.Grant.MayWatch(p.System, p.Room)
	})
	for _, p := range lost {
		if c.Find(p.System) != nil { // else it was told that it has left the system
			c.Notify(session.UnwatchedNotice(p.System, p.Room))
		}
	}
}
