package session

import (
	"slices"
	"sync"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// maxWatches is how many places a session may watch.
const maxWatches = 20

// watchers are the sessions that watch who is in a place. They are safe for concurrent
// use.
//
// A session is sent the state of a place first, and then its changes. The lock is held
// while a state is read from [Control] and while frames are put into outboxes, so each
// session gets them in their order. A change may still have been in the state before it:
// it was made before the state was read, and came here after. So a session that is told
// who is there gets the state once more in place of its first change.
//
// A session without room for a frame is left behind: it gets the state anew when there is
// room. So whoever is slow is not closed because of presence, and holds up nobody.
type watchers struct {
	control Control
	members int // most users who are told by name

	mu        sync.Mutex // guards all below; taken before the locks of Control and of Conns
	places    map[control.Place]*watchedPlace
	bySession map[*Session][]*watch
}

// A watchedPlace is a place that at least one session watches. It holds the frames of its
// state, made when first needed after a change.
type watchedPlace struct {
	control.Place
	of    []*watch
	count []byte // how many are there; nil until needed
	users []byte // who is there, or how many if there are too many; nil until needed
	named bool   // users says who is there
}

// A watch is a session that watches a place.
type watch struct {
	session *Session
	place   *watchedPlace
	index   int  // in place.of
	users   bool // it wants to know who is there
	behind  bool // there was no room for a frame
	// current says that the client knows who is there as of the last change, so that the
	// next can be told as a change.
	current bool
}

func newWatchers(c Control, members int) *watchers {
	return &watchers{
		control: c, members: members,
		places: make(map[control.Place]*watchedPlace), bySession: make(map[*Session][]*watch),
	}
}

// Watch answers the client with ok, which may be nil, and from then on tells it how many
// users are in a place or, with users, who. It returns false, and does not answer, if the session watches
// too many places. The caller has checked that the client may, and that the nodes keep who
// is there. Like Unwatch and Unwatched it is for the goroutine of the port that calls
// Leave.
func (s *Session) Watch(p control.Place, users bool, ok []byte) bool {
	w := s.registry.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.find(s, p)
	if x == nil {
		if len(w.bySession[s]) >= maxWatches {
			return false
		}
		x = w.add(s, p)
	}
	x.users = users
	if ok != nil {
		s.conn.Notify(ok)
	}
	w.sendState(x)
	return true
}

// Unwatch undoes Watch.
func (s *Session) Unwatch(p control.Place) {
	w := s.registry.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := w.find(s, p); x != nil {
		w.remove(x)
	}
}

// KeepWatching undoes Watch for the places for which keep is false, and returns them.
func (s *Session) KeepWatching(keep func(control.Place) bool) (lost []control.Place) {
	if !s.watching.Load() {
		return nil
	}
	w := s.registry.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range slices.Clone(w.bySession[s]) {
		if !keep(x.place.Place) {
			lost = append(lost, x.place.Place)
			w.remove(x)
		}
	}
	return lost
}

// MaxWatches returns how many places a session may watch.
func (s *Session) MaxWatches() int { return maxWatches }

// PresenceChanged tells the sessions that watch a place how it has changed.
func (reg *Registry) PresenceChanged(c control.Change) { reg.watchers.changed(c) }

// find returns the session's watch of a place, nil if there is none. The caller holds mu.
func (w *watchers) find(s *Session, p control.Place) *watch {
	for _, x := range w.bySession[s] {
		if x.place.Place == p {
			return x
		}
	}
	return nil
}

// add lets a session watch a place. The caller holds mu.
func (w *watchers) add(s *Session, p control.Place) *watch {
	place := w.places[p]
	if place == nil {
		place = &watchedPlace{Place: p}
		w.places[p] = place
		w.control.Watch(p)
	}
	x := &watch{session: s, place: place, index: len(place.of)}
	place.of = append(place.of, x)
	w.bySession[s] = append(w.bySession[s], x)
	s.watching.Store(true)
	return x
}

// remove undoes add. The caller holds mu.
func (w *watchers) remove(x *watch) {
	place, last := x.place, len(x.place.of)-1
	place.of[x.index] = place.of[last]
	place.of[x.index].index = x.index
	place.of[last] = nil
	if place.of = place.of[:last]; last == 0 {
		delete(w.places, place.Place)
		w.control.Unwatch(place.Place)
	}
	all := w.bySession[x.session]
	all = slices.DeleteFunc(all, func(other *watch) bool { return other == x })
	if w.bySession[x.session] = all; len(all) == 0 {
		delete(w.bySession, x.session)
	}
}

// forget ends the watches of a session that ends.
func (w *watchers) forget(s *Session) {
	if !s.watching.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range slices.Clone(w.bySession[s]) {
		w.remove(x)
	}
}

// fill sends the session the states for which there was no room.
func (w *watchers) fill(s *Session) {
	if !s.watching.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.bySession[s] {
		if x.behind && !w.sendState(x) {
			return
		}
	}
}

// changed tells the sessions that watch a place of a change.
func (w *watchers) changed(c control.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	place := w.places[c.Place]
	if place == nil {
		return // the last one has just stopped watching it
	}
	place.count, place.users = countNotice(c.Place, c.Count), nil
	var change []byte
	for _, x := range place.of {
		switch {
		case x.behind: // it gets the state when it has room
		case !x.users || c.Count > w.members:
			x.current = false
			w.send(x, place.count)
		case !x.current || c.Cut: // the change does not say who came and went
			x.current = w.sendState(x) && place.named
		default:
			if change == nil {
				change = changeNotice(c)
			}
			w.send(x, change)
		}
	}
}

// sendState sends the state of a place, or notes that there is no room for it. The next
// change is then the state, too. The caller holds mu.
func (w *watchers) sendState(x *watch) bool {
	x.current = false
	return w.send(x, w.state(x.place, x.users))
}

// send sends a frame, or notes that there is no room for it. The caller holds mu, so that
// the Fill that follows a refusal sees what is noted.
func (w *watchers) send(x *watch, frame []byte) bool {
	x.behind = !x.session.conn.NotifyIfRoom(frame)
	return !x.behind
}

// state returns the frame of a place's state. The caller holds mu.
func (w *watchers) state(p *watchedPlace, users bool) []byte {
	if p.count == nil {
		p.count = countNotice(p.Place, w.control.Who(p.Place, 0).Count)
	}
	if !users {
		return p.count
	}
	if p.users == nil {
		p.users, p.named = w.usersState(p.Place)
	}
	return p.users
}

// usersState returns the frame that says who is in a place or, with named false, how many
// if there are too many.
func (w *watchers) usersState(p control.Place) (frame []byte, named bool) {
	if count := w.control.Who(p, 0).Count; count > w.members {
		return countNotice(p, count), false
	}
	page := w.control.Who(p, w.members)
	if page.Count > len(page.Users) { // they have become too many just now
		return countNotice(p, page.Count), false
	}
	names := make([]string, len(page.Users))
	for i, u := range page.Users {
		names[i] = u.User
	}
	b := appendCount(p, page.Count, len(names))
	return append(appendNames(append(b, `,"users":`...), names), '}'), true
}

// countNotice says how many users are in a place. For a client that knew who they were it
// means that this is not known any more.
func countNotice(p control.Place, count int) []byte {
	return append(appendCount(p, count, 0), '}')
}

// changeNotice says how a place has changed.
func changeNotice(c control.Change) []byte {
	b := appendCount(c.Place, c.Count, len(c.Joined)+len(c.Left))
	b = appendNames(append(b, `,"joined":`...), c.Joined)
	return append(appendNames(append(b, `,"left":`...), c.Left), '}')
}

// UnwatchedNotice says that the client watches a place no more, because its new token
// does not grant that.
func UnwatchedNotice(system domain.System, room string) []byte {
	b := appendPlace([]byte(`{"op":"presence"`), system, room)
	return append(b, `,"watch":false,"reason":"token"}`...)
}

// appendCount begins a presence op, with space for some names.
func appendCount(p control.Place, count, names int) []byte {
	b := append(make([]byte, 0, 96+24*names), `{"op":"presence"`...)
	b = append(appendPlace(b, p.System, p.Room), `,"count":`...)
	return appendInt(b, int64(count))
}

func appendNames(b []byte, names []string) []byte {
	b = append(b, '[')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsontext.AppendString(b, name)
	}
	return append(b, ']')
}
