package session

import (
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A session hears a room for one or both of two reasons: its client has joined it, at
// connect or with an op (rooms), or the server side has made the user a member, by a fact
// (assigned). It hears the room while either reason lasts; it joins the stream's target,
// and is counted as present, with the first, and leaves with the last.
//
// Both lists are guarded by Session.mu, which is held while the stream and [Control] are
// told, so that they hear of changes in order. The list rooms is changed by the port's
// goroutine alone, which may read it without the lock.

// An assignedRoom is a room that the server side has made the user a member of.
type assignedRoom struct {
	target domain.Target
	told   bool // the client knows of it
	ended  bool // the client has yet to be told that it has ended
}

// Rooms returns the rooms that the client has joined. Like Join, JoinSince and Leave, it
// is for one goroutine of the session's port.
func (a *Attachment) Rooms() []domain.Target { return a.rooms }

// Join lets the session hear a room from now on.
func (a *Attachment) Join(room domain.Target) {
	a.session.mu.Lock()
	defer a.session.mu.Unlock()
	if slices.Contains(a.rooms, room) {
		return
	}
	a.rooms = append(a.rooms, room)
	if !a.isAssigned(room) {
		a.stream.Join(room)
		a.count(room, 1)
	}
}

// JoinSince is Join for a client that was in the room up to a cursor. What it
// missed since then is offered, and then the frame done. It returns false if that
// cannot be done now.
func (a *Attachment) JoinSince(room domain.Target, since domain.Cursor, done []byte) bool {
	a.session.mu.Lock()
	defer a.session.mu.Unlock()
	if !a.stream.JoinSince(room, since, stream.Frame{Bytes: done}) {
		return false
	}
	if !slices.Contains(a.rooms, room) {
		a.rooms = append(a.rooms, room)
		if !a.isAssigned(room) {
			a.count(room, 1)
		}
	}
	return true
}

// Leave undoes Join. It returns false if the session goes on hearing the room because the
// server side has made the user a member.
func (a *Attachment) Leave(room domain.Target) bool {
	a.session.mu.Lock()
	defer a.session.mu.Unlock()
	assigned := a.isAssigned(room)
	if i := slices.Index(a.rooms, room); i >= 0 {
		a.rooms = slices.Delete(a.rooms, i, i+1)
		if !assigned {
			a.stream.Leave(room)
			a.count(room, -1)
		}
	}
	return !assigned
}

// Assigned reports whether the server side has made the user a member of the room.
func (a *Attachment) Assigned(room domain.Target) bool {
	a.session.mu.Lock()
	defer a.session.mu.Unlock()
	return a.isAssigned(room)
}

// findAssigned returns where a room is in assigned, or would be. The caller holds
// Session.mu.
func (a *Attachment) findAssigned(name string) (i int, found bool) {
	return slices.BinarySearchFunc(a.assigned, name, func(r assignedRoom, name string) int {
		return strings.Compare(r.target.Name(), name)
	})
}

func (a *Attachment) isAssigned(room domain.Target) bool {
	i, found := a.findAssigned(room.Name())
	return found && !a.assigned[i].ended
}

// assign makes the rooms that names lists, which are sorted, those that the user is a
// member of. The caller holds Session.mu.
func (a *Attachment) assign(names []string) {
	for i := range a.assigned {
		r := &a.assigned[i]
		if _, still := slices.BinarySearch(names, r.target.Name()); !still && !r.ended {
			r.ended = true
			a.session.untold = true
			if !slices.Contains(a.rooms, r.target) {
				a.stream.Leave(r.target)
				a.count(r.target, -1)
			}
		}
	}
	for _, name := range names {
		a.assignOne(name)
	}
}

// assignOne makes the user a member of a room. Before the session is attached it only
// takes note. The caller holds Session.mu, or is Open.
func (a *Attachment) assignOne(name string) {
	i, found := a.findAssigned(name)
	switch {
	case found && !a.assigned[i].ended:
		return
	case found:
		a.assigned[i].ended = false
	default:
		room, err := domain.RoomTarget(name)
		if err != nil {
			return // no message can be for such a room
		}
		a.assigned = slices.Insert(a.assigned, i, assignedRoom{target: room})
	}
	r := &a.assigned[i]
	if !r.told && a.conn != nil { // the client is told before it hears the first message
		r.told = a.conn.NotifyIfRoom(joinedNotice(a.System(), name))
	}
	if !r.told {
		a.session.untold = true
	}
	if a.stream != nil && !slices.Contains(a.rooms, r.target) {
		a.stream.Join(r.target)
		a.count(r.target, 1)
	}
}

// tellRooms tells the client what it does not know yet about the rooms that the user is a
// member of, as far as there is room in its outbox. For the rest, Fill calls it again. The
// caller holds mu.
func (s *Session) tellRooms() {
	if !s.untold {
		return
	}
	s.untold = false
	for _, a := range s.systems {
		if !a.tellRooms() {
			s.untold = true
			return
		}
	}
}

// tellRooms returns false if there was no room for all. The caller holds Session.mu.
func (a *Attachment) tellRooms() bool {
	refused := false
	a.assigned = slices.DeleteFunc(a.assigned, func(r assignedRoom) bool {
		if refused || !r.ended || !r.told || slices.Contains(a.rooms, r.target) {
			return !refused && r.ended
		}
		refused = !a.conn.NotifyIfRoom(LeftNotice(a.System(), r.target.Name(), "server"))
		return !refused
	})
	for i := range a.assigned {
		if r := &a.assigned[i]; !refused && !r.told {
			refused = !a.conn.NotifyIfRoom(joinedNotice(a.System(), r.target.Name()))
			r.told = !refused
		}
	}
	return !refused
}

// startCounting counts the session as present in the system and in its rooms, if presence
// is kept for the system. The caller holds Session.mu.
func (a *Attachment) startCounting() {
	if a.present && !a.counted {
		a.counted = true
		a.countAll(1)
	}
}

// stopCounting undoes startCounting. It is idempotent. The caller holds Session.mu.
func (a *Attachment) stopCounting() {
	if a.counted {
		a.countAll(-1)
		a.counted = false
	}
}

func (a *Attachment) countAll(delta int) {
	a.count(domain.Target{}, delta)
	for _, room := range a.rooms {
		a.count(room, delta)
	}
	for _, r := range a.assigned {
		if !r.ended && !slices.Contains(a.rooms, r.target) {
			a.count(r.target, delta)
		}
	}
}

// count tells [Control] that the session has come to a room, or left it; the zero room is
// the system. It does nothing while the session does not count. The caller holds
// Session.mu.
func (a *Attachment) count(room domain.Target, delta int) {
	if a.counted {
		a.session.registry.cfg.Control.Attach(a.System(), room.Name(), a.session.User, delta)
	}
}
