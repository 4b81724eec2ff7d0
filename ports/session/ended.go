package session

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// An endedSession is what stays of a session: enough to say what it was sent. It stands in the
// ring from when the session leaves its systems.
type endedSession struct {
	id, user string
	from     netip.Addr
	at       time.Time // when it left its systems
	// What follows is guarded by endedSessions.mu.

	parts []endedPart // the slice is never changed in place
	code  int         // the close code
	conn  Conn        // nil once all that could be written was
}

// noteEnd puts what stays of the session into the ring. It is idempotent.
func (s *Session) noteEnd() {
	if s.remains != nil {
		return
	}
	s.mu.Lock()
	parts := s.past
	s.mu.Unlock()
	s.remains = &endedSession{
		id: s.ID, user: s.User, from: s.from, at: s.registry.now(), parts: parts, conn: s.conn,
	}
	s.registry.past.add(s.remains)
}

// An endedPart is what stays of a session's part in a system.
type endedPart struct {
	system domain.System
	past   stream.Past
	acked  domain.Location // up to which the client had acknowledged; zero for nothing
	at     time.Time       // when it ended, which may be before the session
}

// endedSessions are the sessions that have ended last. It is safe for concurrent use.
type endedSessions struct {
	mu   sync.Mutex
	ring []*endedSession // guarded by mu
	next int             // where the next one goes, once the ring is full; guarded by mu
	most int
	// since is since when all are remembered; zero while none was forgotten. Guarded by mu.
	since time.Time
}

// add notes a session that leaves its systems. The oldest one makes room.
func (e *endedSessions) add(s *endedSession) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.most <= 0:
		e.since = s.at
	case len(e.ring) < e.most:
		e.ring = append(e.ring, s)
	default:
		e.since = e.ring[e.next].at
		e.ring[e.next] = s
		e.next = (e.next + 1) % e.most
	}
}

// finish notes with which code a session has ended, and what was never written to it.
func (e *endedSessions) finish(s *endedSession, conn Conn, code int) {
	parts := slices.Clone(s.parts) // others may be reading them
	for i := range parts {
		noteUnwritten(&parts[i], conn)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s.parts, s.code, s.conn = parts, code, nil
}

// noteUnwritten notes from which message on nothing was written of a system.
func noteUnwritten(p *endedPart, conn Conn) {
	conn.Unwritten(func(frame []byte) bool {
		of, cursor, known := readMessageFrame(frame)
		switch {
		case !known:
			p.past.NoteUnwritten(domain.Cursor{}) // of a plain client
			return false
		case of != p.system.String():
			return true
		case cursor.IsZero(): // of a room that the client was joining with a cursor
			p.past.NoteUnwritten(cursor)
			return true
		}
		p.past.NoteUnwritten(cursor)
		return false
	})
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// of returns copies of a user's ended sessions, newest first, at most so many, and since when
// all are remembered.
func (e *endedSessions) of(user string, most int) (all []endedSession, since time.Time, more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.ring {
		s := e.ring[(e.next+len(e.ring)-1-i)%len(e.ring)]
		if s.user != user {
			continue
		}
		if len(all) == most {
			return all, e.since, true
		}
		all = append(all, *s)
	}
	return all, e.since, false
}
