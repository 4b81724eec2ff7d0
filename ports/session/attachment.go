package session

import (
	"slices"
	"strings"
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
	// since is what the client asked to resume from, or where the last messages begin that
	// it asked for; zero if it did neither.
	since domain.Cursor

	// Why the session hears rooms, see rooms.go; guarded by Session.mu.
	rooms    []domain.Target
	assigned []assignedRoom // sorted by name

	present bool // presence is kept for the system
	counted bool // the session counts as present; guarded by Session.mu

	// sentCursor is the cursor that the client was sent last: in hello, and then
	// at ticks. It is written by Open, and once the session is added to the registry
	// only by Registry.tick; hello and Cursor read it before that.
	sentCursor domain.Cursor
	heard      atomic.Bool // something was offered since the last tick

	begun    domain.Location // after which the session was to be given what comes; zero if that is unknown
	receipts atomic.Pointer[receipts]
}

// attach registers with the stream. The stream offers nothing before the first
// Fill.
func (a *Attachment) attach(asker stream.Asker, enc stream.Encoder) {
	var few [4]domain.Target
	a.stream, a.sentCursor, a.resumed = a.lease.Attach(
		asker, a, enc, a.since, a.appendTargets(few[:0])...)
	begun := a.since
	if begun.IsZero() {
		begun = a.sentCursor
	}
	a.begun = domain.Location{
		Log: begun.Log, Position: domain.Position(strings.Clone(string(begun.Position))),
	}
}

// appendTargets appends what the session hears, but for what is for everyone.
func (a *Attachment) appendTargets(targets []domain.Target) []domain.Target {
	targets = append(append(targets, a.session.user, a.session.self), a.rooms...)
	for _, r := range a.assigned {
		if !slices.Contains(a.rooms, r.target) {
			targets = append(targets, r.target)
		}
	}
	return targets
}

// HasPresence reports whether the nodes keep who is attached to the system.
func (a *Attachment) HasPresence() bool { return a.present }

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

// detach undoes attach, and returns what stays. It is idempotent, but only the first call
// returns something.
func (a *Attachment) detach() stream.Past {
	defer a.lease.Release()
	a.closeReceipts()
	return a.stream.Detach()
}
