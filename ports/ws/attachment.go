package ws

import (
	"slices"
	"sync/atomic"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// An attachment is a session's part in one system. It is the stream's way into
// the session's outbox.
type attachment struct {
	session *session
	lease   *stream.Lease
	stream  *stream.Attachment
	resumed bool

	rooms []domain.Target // the read pump's
	told  domain.Cursor   // where the client was told that it is; Server.tick's
	heard atomic.Bool     // something was offered since the last tick
}

// attach registers with the stream; nothing is offered before the first Fill.
func (a *attachment) attach(since domain.Cursor) {
	c := a.session
	targets := append(make([]domain.Target, 0, len(a.rooms)+2), c.targets()...)
	targets = append(targets, a.rooms...)
	enc := stream.Encoder(V1Encoder{})
	if c.plain {
		enc = PlainEncoder{}
	}
	a.stream, a.told, a.resumed = a.lease.Attach(a, enc, since, targets...)
}

// Offer takes a frame for the session.
func (a *attachment) Offer(f stream.Frame) bool {
	if !a.session.out.offer(f) {
		return false
	}
	if !a.heard.Load() {
		a.heard.Store(true)
	}
	return true
}

// moved returns the session's place if the client can not know it from what it
// heard since the last call.
func (a *attachment) moved() (at domain.Cursor, moved bool) {
	heard := a.heard.Swap(false)
	at, live := a.stream.Cursor()
	return at, live && !heard && at != a.told
}

func (a *attachment) join(room domain.Target) {
	if !slices.Contains(a.rooms, room) {
		a.rooms = append(a.rooms, room)
		a.stream.Join(room)
	}
}

// joinSince is join for a client that was in the room up to a place: done
// follows what it missed there. False means that it can not be done now.
func (a *attachment) joinSince(room domain.Target, since domain.Cursor, done []byte) bool {
	if !a.stream.JoinSince(room, since, stream.Frame{Bytes: done}) {
		return false
	}
	if !slices.Contains(a.rooms, room) {
		a.rooms = append(a.rooms, room)
	}
	return true
}

func (a *attachment) leave(room domain.Target) {
	if i := slices.Index(a.rooms, room); i >= 0 {
		a.rooms = slices.Delete(a.rooms, i, i+1)
		a.stream.Leave(room)
	}
}

// detach ends it; it is idempotent.
func (a *attachment) detach() {
	a.stream.Detach()
	a.lease.Release()
}
