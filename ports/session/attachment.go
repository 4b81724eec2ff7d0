package session

import (
	"slices"
	"sync/atomic"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// An Attachment is a session's part in one system. It is the stream's way into
// the session's Conn.
type Attachment struct {
	session *Session
	lease   *stream.Lease
	stream  *stream.Attachment
	resumed bool
	since   domain.Cursor // what the client asked for

	rooms []domain.Target // see Join
	told  domain.Cursor   // where the client was told that it is; Registry.tick's
	heard atomic.Bool     // something was offered since the last tick
}

// attach registers with the stream; nothing is offered before the first Fill.
func (a *Attachment) attach(enc stream.Encoder) {
	targets := append(make([]domain.Target, 0, len(a.rooms)+2), a.session.targets()...)
	targets = append(targets, a.rooms...)
	a.stream, a.told, a.resumed = a.lease.AttachFor(a.session.asker, a, enc, a.since, targets...)
}

// System is the system.
func (a *Attachment) System() domain.System { return a.lease.System() }

// Cursor is where the client can go on if it gets nothing from this session:
// where it said it was, or else where the session began. It is for a Conn that
// begins.
func (a *Attachment) Cursor() domain.Cursor {
	if !a.since.IsZero() {
		return a.since // if that is impossible, a gap will say so: here, or after the next reconnect
	}
	return a.told
}

// Offer takes a frame for the session.
func (a *Attachment) Offer(f stream.Frame) bool {
	if !a.session.conn.Offer(a, f) {
		return false
	}
	if !a.heard.Load() {
		a.heard.Store(true)
	}
	return true
}

// moved returns the session's place if the client can not know it from what it
// heard since the last call.
func (a *Attachment) moved() (at domain.Cursor, moved bool) {
	heard := a.heard.Swap(false)
	at, live := a.stream.Cursor()
	return at, live && !heard && at != a.told
}

// Rooms are the rooms that were joined. As all that follows, it is for one
// goroutine of the session's port.
func (a *Attachment) Rooms() []domain.Target { return a.rooms }

// Join lets the session hear a room from now on.
func (a *Attachment) Join(room domain.Target) {
	if !slices.Contains(a.rooms, room) {
		a.rooms = append(a.rooms, room)
		a.stream.Join(room)
	}
}

// JoinSince is Join for a client that was in the room up to a place: done
// follows what it missed there. False means that it can not be done now.
func (a *Attachment) JoinSince(room domain.Target, since domain.Cursor, done []byte) bool {
	if !a.stream.JoinSince(room, since, stream.Frame{Bytes: done}) {
		return false
	}
	if !slices.Contains(a.rooms, room) {
		a.rooms = append(a.rooms, room)
	}
	return true
}

// Leave ends what Join began.
func (a *Attachment) Leave(room domain.Target) {
	if i := slices.Index(a.rooms, room); i >= 0 {
		a.rooms = slices.Delete(a.rooms, i, i+1)
		a.stream.Leave(room)
	}
}

// detach ends it; it is idempotent.
func (a *Attachment) detach() {
	a.stream.Detach()
	a.lease.Release()
}
