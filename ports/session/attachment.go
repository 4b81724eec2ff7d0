package session

import (
	"slices"
	"sync/atomic"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// An Attachment is a session's part in one system. The system's stream offers
// frames to it, and it passes them on to the session's [Conn].
type Attachment struct {
	session *Session
	conn    Conn // of the session, which need not be read for each frame; nil until Begin
	lease   *stream.Lease
	stream  *stream.Attachment
	resumed bool
	since   domain.Cursor // what the client asked to resume from; zero if it did not

	rooms []domain.Target // see Join
	// sentCursor is the cursor that the client was sent last: in hello, and then
	// at ticks. It is written by Open, and once the session is added to the registry
	// only by Registry.tick; hello and Cursor read it before that.
	sentCursor domain.Cursor
	heard      atomic.Bool // something was offered since the last tick
}

// attach registers with the stream. The stream offers nothing before the first
// Fill.
func (a *Attachment) attach(asker stream.Asker, enc stream.Encoder) {
	var few [4]domain.Target
	targets := append(append(few[:0], a.session.user, a.session.self), a.rooms...)
	a.stream, a.sentCursor, a.resumed = a.lease.Attach(
		asker, a, enc, a.since, targets...)
}

// System returns the system.
func (a *Attachment) System() domain.System { return a.lease.System() }

// Cursor returns the cursor with which the client can resume if it gets nothing
// from this session: the one that it came with, or else the one at which the
// session began. It is for a Conn that begins.
func (a *Attachment) Cursor() domain.Cursor {
	if !a.since.IsZero() {
		return a.since // if it cannot be resumed from, the client is told a gap, now or next time
	}
	return a.sentCursor
}

// Offer gives a frame to the session's Conn. It is the stream that calls it; it
// returns false if the Conn has no room.
func (a *Attachment) Offer(f stream.Frame) bool {
	if !a.conn.Offer(a, f) {
		return false
	}
	if !a.heard.Load() { // a load is cheaper than a store, and this is the hot path
		a.heard.Store(true)
	}
	return true
}

// takeMoved returns the session's cursor, and whether the client has to be sent it: it
// has changed, and nothing that the client heard since the last call says so. It
// clears heard, so each call is about the time since the one before.
func (a *Attachment) takeMoved() (at domain.Cursor, moved bool) {
	heard := a.heard.Swap(false)
	at, live := a.stream.Cursor()
	return at, live && !heard && at != a.sentCursor
}

// Rooms returns the rooms that the session has joined. Like the methods below, it
// is for one goroutine of the session's port.
func (a *Attachment) Rooms() []domain.Target { return a.rooms }

// Join lets the session hear a room from now on.
func (a *Attachment) Join(room domain.Target) {
	if !slices.Contains(a.rooms, room) {
		a.rooms = append(a.rooms, room)
		a.stream.Join(room)
	}
}

// JoinSince is Join for a client that was in the room up to a cursor. What it
// missed since then is offered, and then the frame done. It returns false if that
// cannot be done now.
func (a *Attachment) JoinSince(room domain.Target, since domain.Cursor, done []byte) bool {
	if !a.stream.JoinSince(room, since, stream.Frame{Bytes: done}) {
		return false
	}
	if !slices.Contains(a.rooms, room) {
		a.rooms = append(a.rooms, room)
	}
	return true
}

// Leave undoes Join.
func (a *Attachment) Leave(room domain.Target) {
	if i := slices.Index(a.rooms, room); i >= 0 {
		a.rooms = slices.Delete(a.rooms, i, i+1)
		a.stream.Leave(room)
	}
}

// detach undoes attach. It is idempotent.
func (a *Attachment) detach() {
	a.stream.Detach()
	a.lease.Release()
}
