package session

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A Conn is a session's way to its client, as its port makes it. Its methods
// never block and may be called concurrently; Offer, Tell and Close with locks
// held that they must not want again.
type Conn interface {
	// Offer takes a frame of one of the session's systems, or has no room.
	Offer(a *Attachment, f stream.Frame) bool
	// Offered is how often something was offered so far.
	Offered() uint64
	// SendCursor lets the client know that it is at a place in the attachment's
	// system, unless something was offered since Offered returned offers.
	SendCursor(a *Attachment, at domain.Cursor, offers uint64) bool
	// Notify gives the client a notice, an op of fanfare.v1.json.
	Notify(op []byte)
	// GoAway ends the session because the node drains. The client is to come
	// back after retry.
	GoAway(retry time.Duration)
	// Close ends the session with one of the Close codes, after what was
	// offered. The first call counts.
	Close(code int, reason string)
	// Abort cuts the connection off.
	Abort()
}

// A Session is one connection of one user, attached to one or more systems. It
// is what sessions are to the Registry; a port adds its Conn.
type Session struct {
	ID    string
	User  string
	Grant domain.Grant // the port's; see SetExpiry

	registry *Registry
	conn     Conn
	asker    stream.Asker // for whom its streams read their logs again
	plain    bool         // is told nothing but messages
	turn     int          // when it is due, see Registry.tick
	slot     int          // in Registry.sessions, -1 outside; guarded by Registry.mu

	from    netip.Addr   // the client's address, as wrong tokens are counted by
	expires atomic.Int64 // Unix milliseconds, 0 for never

	mu      sync.Mutex
	systems []*Attachment // never changed in place; guarded by mu
	first   int           // whose turn it is to be filled first; guarded by mu
}

// Begin says hello through conn, makes the session known to the Registry, and
// lets the streams offer.
func (s *Session) Begin(conn Conn) {
	s.conn = conn
	s.registry.counters.opened.Add(1)
	conn.Notify(s.hello())
	if !s.registry.add(s) {
		s.goAway()
		return
	}
	s.Fill()
}

// Leave lets go of the streams and the Registry; nothing is offered or told after
// it. It is idempotent.
func (s *Session) Leave() {
	s.registry.remove(s)
	s.mu.Lock()
	systems := s.systems
	s.systems = nil
	s.mu.Unlock()
	for _, a := range systems {
		a.detach()
	}
}

// End is called once, when the connection is done. Drain waits for it.
func (s *Session) End(code int) {
	s.Leave()
	if s.conn != nil { // it began
		s.registry.counters.countClosed(code)
		s.registry.log.Debug("session ended", "user", s.User, "session", s.ID, "code", code)
	}
	s.registry.release()
}

// Attachments returns the session's parts. The slice is not to be changed.
func (s *Session) Attachments() []*Attachment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.systems
}

// Find returns the session's part in a system, nil if it has none.
func (s *Session) Find(system domain.System) *Attachment {
	for _, a := range s.Attachments() {
		if a.System() == system {
			return a
		}
	}
	return nil
}

// Keep detaches from the systems for which keep is false, and returns them.
func (s *Session) Keep(keep func(*Attachment) bool) (lost []*Attachment) {
	var kept []*Attachment
	for _, a := range s.Attachments() {
		if keep(a) {
			kept = append(kept, a)
		} else {
			lost = append(lost, a)
		}
	}
	s.mu.Lock()
	s.systems = kept
	s.mu.Unlock()
	for _, a := range lost {
		a.detach()
	}
	return lost
}

// Fill lets each stream offer what the session has missed. Who was first the
// last time is last the next time.
func (s *Session) Fill() {
	s.mu.Lock()
	systems, first := s.systems, s.first
	s.first++
	s.mu.Unlock()
	for i := range systems {
		systems[(first+i)%len(systems)].stream.Fill()
	}
}

// SetExpiry sets when the session ends with its token; zero means never.
func (s *Session) SetExpiry(t time.Time) {
	if t.IsZero() {
		s.expires.Store(0)
		return
	}
	// Not nanoseconds: they overflow in 2262, and tokens may say more.
	ms := int64(endOfTime * 1000)
	if t.Unix() < endOfTime {
		ms = max(t.UnixMilli(), 1)
	}
	s.expires.Store(ms)
}

// endOfTime is later than any session, and as milliseconds within an int64: the
// year 10000, in seconds since 1970.
const endOfTime = 253_402_300_800

func (s *Session) expired(now time.Time) bool {
	at := s.expires.Load()
	return at != 0 && now.UnixMilli() >= at
}

// UserMeter returns the meter that the sessions of the user on this node
// share, made with the first caller's rate; nil once the session is over.
func (s *Session) UserMeter(r Rate, largest int) *Meter {
	return s.registry.userMeter(s.User, r, largest)
}

// Rooms is how many rooms the session has joined, and most how many it may.
func (s *Session) Rooms() (joined, most int) {
	for _, a := range s.Attachments() {
		joined += len(a.rooms)
	}
	return joined, s.registry.cfg.Rooms
}

// sendCursors tells where the session is in the systems that it heard nothing
// of since the last time. A place must not be told behind a message that comes
// after it: the client would go back, and get that message again.
func (s *Session) sendCursors() {
	for _, a := range s.Attachments() {
		quiet := s.conn.Offered()
		if at, moved := a.moved(); moved && s.conn.SendCursor(a, at, quiet) {
			a.told = at
		}
	}
}

func (s *Session) goAway() {
	s.conn.GoAway(time.Duration(jitter(s.registry.cfg.RetrySpan)) * time.Millisecond)
}

// targets are what the session hears without joining anything.
func (s *Session) targets() []domain.Target {
	user, _ := domain.UserTarget(s.User) // checked in identify
	self, _ := domain.SessionTarget(s.ID)
	return []domain.Target{user, self}
}

// hello says who, where, and from which places on.
func (s *Session) hello() []byte {
	b := append(make([]byte, 0, 256), `{"op":"hello","session":`...)
	b = jsontext.AppendString(b, s.ID)
	b = append(b, `,"node":`...)
	b = jsontext.AppendString(b, s.registry.cfg.Node)
	b = append(b, `,"user":`...)
	b = jsontext.AppendString(b, s.User)
	b = append(b, `,"systems":{`...)
	for i, a := range s.systems {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, a.System().String()...)
		b = append(b, `":{"cursor":`...)
		b = appendCursor(b, a.told)
		if a.resumed {
			b = append(b, `,"resumed":true}`...)
		} else {
			b = append(b, `,"resumed":false}`...)
		}
	}
	return append(b, `}}`...)
}
