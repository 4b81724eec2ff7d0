package session

import (
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A Conn is a session's connection to its client, as the port makes it. Its
// methods never block and may be called concurrently. Callers of Offer, Notify,
// NotifyIfRoom, Disconnect and Close hold locks of a stream, of the session or of the
// [Registry], so these must not call back into any of them.
type Conn interface {
	// Offer takes a frame of one of the session's systems. It returns false if it
	// has no room.
	Offer(a *Attachment, f stream.Frame) bool
	// OfferNoted is Offer for a message that wants a receipt. When it is written, the port
	// calls [Session.Wrote] with the note.
	OfferNoted(a *Attachment, f stream.Frame, n *stream.Note) bool
	// Offered returns how often Offer and OfferNoted were called so far.
	Offered() uint64
	// Unwritten calls each with the messages that were taken and are not written to the
	// connection yet, oldest first, until it returns false. When the connection is done, these
	// are the messages that were never written as a whole. It holds the connection's lock.
	Unwritten(each func(frame []byte) bool)
	// SendCursor tells the client its cursor in the attachment's system. It does
	// nothing and returns false if one of them was called since Offered returned offers.
	SendCursor(a *Attachment, at domain.Cursor, offers uint64) bool
	// Port names what the connection is: "ws", "sse", or "plain" for a client of /ws that is
	// sent messages alone.
	Port() string
	// Pending returns how many frames wait for the connection to take them, and how many
	// bytes of those and of what is being written.
	Pending() (frames, bytes int)
	// Notify sends the client a notice: an op of fanfare.v1.json.
	Notify(op []byte)
	// NotifyIfRoom is Notify for a notice that can wait: if there is no room for it, or
	// only what is kept for other notices, it returns false, and [Session.Fill] is called
	// when there is room. For a client that is sent no notices it returns true.
	NotifyIfRoom(op []byte) bool
	// Disconnect notifies the client that it is disconnected, and then closes the session
	// with the code. Final asks the client not to come back by itself.
	Disconnect(code int, reason string, final bool)
	// GoAway asks the client to connect to another node, and to come back after retry if it
	// cannot. Without a grace it then ends the session. With one, a client that cannot be
	// asked is closed, and for all others Close is called when the grace is over.
	GoAway(retry, grace time.Duration)
	// Close ends the session with one of the Close codes, after what was offered
	// before. Only the first call counts.
	Close(code int, reason string)
	// Abort cuts the connection off.
	Abort()
}

// A Session is one connection of one user, attached to one or more systems. A
// port embeds it in its Conn.
type Session struct {
	ID   string
	User string
	// Grant is changed by Renew, which the port's goroutine calls. That goroutine may read
	// it; others read it with Registry.grantOf.
	Grant domain.Grant

	// self and user are what the session hears without joining anything.
	self, user domain.Target

	registry *Registry
	conn     Conn            // nil until Begin
	request  *connectRequest // nil once it has begun
	turn     int             // when its cursors are sent; see Registry.due
	slot     int             // its index in Registry.sessions, -1 outside; guarded by Registry.mu
	going    bool            // the client was asked to go; guarded by Registry.mu

	from     netip.Addr    // the client's address, as wrong tokens are counted by
	expires  atomic.Int64  // Unix milliseconds, 0 for never
	watching atomic.Bool   // the session has watched a place: see watchers
	remains  *endedSession // what stays of it; nil before it leaves
	plain    bool          // the client is sent messages and no notices
	untold   bool          // tellRooms has something to tell; guarded by mu

	receipts atomic.Pointer[receipts] // those of its attachments that have some

	// mu also guards the rooms of all attachments. It is taken before the locks of
	// streams, of conn and of Control, and never with one of them held.
	mu      sync.Mutex
	systems []*Attachment // the slice is never changed in place; guarded by mu
	past    []endedPart   // systems that it has left; guarded by mu
	first   int           // counts Fills, and so says which system is filled first; guarded by mu
}

// Begin says hello through conn, adds the session to the registry, and lets the
// streams offer. If the node has begun to drain, it asks the client to go away.
func (s *Session) Begin(conn Conn) {
	asked := s.request
	s.conn, s.request = conn, nil
	for _, a := range s.systems {
		a.conn = conn
	}
	s.registry.counters.opened.Add(1)
	s.logOpened()
	conn.Notify(s.hello(asked.systems))
	if s.untold {
		s.startRooms()
	}
	switch v, added := s.registry.add(s, asked.changes); added {
	case turnedAway:
		s.goAway(s.registry.cfg.RetrySpan, 0)
		return
	case disconnected:
		s.disconnect(v)
		return
	case addedLate:
		if !s.review() {
			return
		}
	}
	s.startCounting()
	for _, p := range asked.places {
		s.Watch(p, true, nil)
	}
	s.Fill()
}

// startRooms tells the client which rooms the server side has put it into.
func (s *Session) startRooms() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellRooms()
}

// startCounting counts the session as present in all its systems and rooms.
func (s *Session) startCounting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.systems {
		a.startCounting()
	}
}

// Leave detaches the session from its streams and removes it from the registry:
// nothing is offered or notified after it. It is idempotent.
func (s *Session) Leave() {
	s.registry.remove(s)
	s.registry.watchers.forget(s)
	s.mu.Lock()
	systems := s.systems
	s.systems = nil
	for _, a := range systems {
		a.stopCounting()
	}
	s.mu.Unlock()
	for _, a := range systems {
		s.detach(a)
	}
	if s.conn != nil {
		s.noteEnd()
	}
}

// detach detaches from a system, and keeps what stays of that.
func (s *Session) detach(a *Attachment) {
	past := a.detach()
	if past.IsZero() || s.conn == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past = append(s.past[:len(s.past):len(s.past)], endedPart{a.System(), past, a.acked(), s.registry.now()})
}

// End leaves, and releases the session's reservation. It must be called once for each
// session that Open returned, when the connection is done: Drain waits for it.
func (s *Session) End(code int) {
	s.Leave()
	if s.conn != nil { // it began
		s.registry.past.finish(s.remains, s.conn, code)
		s.registry.counters.countClosed(code)
		s.logClosed(code)
	}
	s.registry.release()
}

// Attachments returns the session's parts in its systems. The slice must not be
// changed.
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

// Keep detaches from the systems for which keep is false, and returns them. Keep,
// Leave and End must not run at the same time: Keep would put back a system that
// Leave has detached.
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
	for _, a := range lost {
		a.stopCounting()
	}
	s.mu.Unlock()
	for _, a := range lost {
		s.detach(a)
	}
	return lost
}

// Fill lets each stream offer what the session has not been offered yet, after notices
// for which there was no room. The systems take turns in being first, so that none always
// gets the room there is.
func (s *Session) Fill() {
	s.mu.Lock()
	systems, first := s.systems, s.first
	s.first++
	s.tellRooms()
	s.mu.Unlock()
	s.registry.watchers.fill(s)
	for i := range systems {
		systems[(first+i)%len(systems)].stream.Fill()
	}
}

// SetExpiry sets when the session ends because its token expires. Zero means
// never.
func (s *Session) SetExpiry(t time.Time) {
	if t.IsZero() {
		s.expires.Store(0)
		return
	}
	// Not nanoseconds: they overflow in 2262, and tokens may name later times.
	ms := int64(endOfTime * 1000)
	if t.Unix() < endOfTime {
		ms = max(t.UnixMilli(), 1)
	}
	s.expires.Store(ms)
}

// endOfTime is the year 10000, in seconds since 1970. No session lasts until
// then, and in milliseconds it still fits an int64.
const endOfTime = 253_402_300_800

func (s *Session) expired(now time.Time) bool {
	at := s.expires.Load()
	return at != 0 && now.UnixMilli() >= at
}

// UserMeter returns the meter that the sessions of the user on this node share.
// The first caller decides its rate. It is nil if the user has no session any more and
// is forgotten.
func (s *Session) UserMeter(rate Rate, largest int) *Meter {
	return s.registry.userMeter(s.User, rate, largest)
}

// Rooms returns how many rooms the client has joined, and how many it may. Those that the
// server side has put the user into do not count.
func (s *Session) Rooms() (joined, most int) {
	for _, a := range s.Attachments() {
		joined += len(a.rooms)
	}
	return joined, s.registry.cfg.Rooms
}

// sendCursors tells the client its cursor in the systems from which it heard
// nothing since the last time. A cursor must not be sent behind a message that
// comes after it: the client would go back, and get that message again.
func (s *Session) sendCursors() {
	for _, a := range s.Attachments() {
		offers := s.conn.Offered()
		if at, moved := a.takeMoved(); moved && s.conn.SendCursor(a, at, offers) {
			a.sentCursor = at
		}
	}
}

// hello makes the first op of every session: who the client is, where, and the
// cursors at which its systems begin, which are in the order in which they were asked for.
func (s *Session) hello(asked []systemRequest) []byte {
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
		b = appendCursor(b, a.sentCursor)
		last := asked[i].wantsLast()
		b = strconv.AppendBool(append(b, `,"resumed":`...), a.resumed && !last)
		if last {
			b = AppendLast(b, asked[i].missing)
		}
		b = append(b, '}')
	}
	return append(b, `}}`...)
}
