package control

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

const (
	// marksEvery is how often the marks that have changed are said.
	marksEvery = time.Second
	// marksAge is how long a mark is kept that nobody says again, as when its session or its
	// node has ended.
	marksAge = 10 * time.Minute
	// marksRefresh is how often a mark that does not change is said again.
	marksRefresh = marksAge / 2
	// maxHurries bounds for how many users marks are said at once.
	maxHurries = 10_000
	// marksStep bounds how many marks are looked at in one Tick.
	marksStep = 10_000
)

// marks are what is known of receipts: the marks of this node's sessions, and replicas of
// those of the others. When there are too many, the one that nobody has said for the
// longest time is lost.
type marks struct {
	most   int
	byKey  map[markKey]*heldMark
	byUser map[markUser][]*heldMark
	own    markList // of sessions of this node that live
	rest   markList // of others, and of sessions of this node that have ended

	urgent, queue []*heldMark // those that have to be said
	round         int         // how many of queue are to be said now
	roundAt       time.Duration
	hurries       map[markUser]time.Duration // until when marks of a user are said at once
	lost          uint64
	parted        int // messages that were said since the node ends
}

type markKey struct {
	session string
	system  domain.System
}

type markUser struct {
	system domain.System
	user   string
}

// A heldMark is a mark, and where it stands.
type heldMark struct {
	Mark
	heard      time.Duration // when it was said, or changed, last
	mine       bool          // it is of a session of this node
	dirty      bool          // it has to be said
	gone       bool          // it was forgotten
	in         *markList
	prev, next *heldMark
}

// A markList holds marks in the order in which they were heard.
type markList struct{ first, last *heldMark }

func (l *markList) add(h *heldMark) {
	h.in, h.prev, h.next = l, l.last, nil
	if l.last == nil {
		l.first = h
	} else {
		l.last.next = h
	}
	l.last = h
}

func (h *heldMark) unlink() {
	if h.prev == nil {
		h.in.first = h.next
	} else {
		h.prev.next = h.next
	}
	if h.next == nil {
		h.in.last = h.prev
	} else {
		h.next.prev = h.prev
	}
}

func newMarks(most int) *marks {
	return &marks{
		most: most, byKey: make(map[markKey]*heldMark), byUser: make(map[markUser][]*heldMark),
		hurries: make(map[markUser]time.Duration),
	}
}

// set takes the newest state of a mark. It returns nil if the mark is of a session of this
// node and another node says it.
func (t *marks) set(now time.Duration, m Mark, mine bool) *heldMark {
	key := markKey{m.Session, m.System}
	h := t.byKey[key]
	switch {
	case h == nil:
		h = &heldMark{mine: mine}
		t.byKey[key] = h
		user := markUser{m.System, m.User}
		t.byUser[user] = append(t.byUser[user], h)
	case h.mine && !mine, h.User != m.User:
		return nil
	default:
		h.unlink()
	}
	h.Mark, h.heard = m, now
	if mine && m.Ended == 0 {
		t.own.add(h)
	} else {
		t.rest.add(h)
	}
	for len(t.byKey) > t.most {
		t.lost++
		t.forget(t.oldest())
	}
	return h
}

// oldest returns the mark that was heard before all others.
func (t *marks) oldest() *heldMark {
	a, b := t.own.first, t.rest.first
	if a == nil || b != nil && b.heard <= a.heard {
		return b
	}
	return a
}

func (t *marks) forget(h *heldMark) {
	h.unlink()
	h.gone = true
	delete(t.byKey, markKey{h.Session, h.System})
	user := markUser{h.System, h.User}
	all := t.byUser[user]
	for i := range all {
		if all[i] == h {
			all[i] = all[len(all)-1]
			all[len(all)-1] = nil
			all = all[:len(all)-1]
			break
		}
	}
	if t.byUser[user] = all; len(all) == 0 {
		delete(t.byUser, user)
	}
}

// soil makes that a mark is said.
func (t *marks) soil(h *heldMark) {
	if h.dirty {
		return
	}
	h.dirty = true
	if _, now := t.hurries[markUser{h.System, h.User}]; now {
		t.urgent = append(t.urgent, h)
	} else {
		t.queue = append(t.queue, h)
	}
}

// take returns the next mark that has to be said now, nil if there is none.
func (t *marks) take(now time.Duration) *heldMark {
	if h, rest := first(t.urgent); h != nil {
		t.urgent = rest
		return h
	} else if t.urgent = nil; t.round == 0 {
		if len(t.queue) == 0 || now-t.roundAt < marksEvery && t.roundAt != 0 {
			return nil
		}
		t.round, t.roundAt = len(t.queue), now
	}
	for t.round > 0 {
		h := t.queue[0]
		t.queue[0] = nil
		t.queue = t.queue[1:]
		if t.round--; h.dirty && !h.gone {
			return h
		}
	}
	return t.take(now)
}

// first returns the first mark of a list that has still to be said, and what follows it.
func first(list []*heldMark) (*heldMark, []*heldMark) {
	for i, h := range list {
		list[i] = nil
		if h.dirty && !h.gone {
			return h, list[i+1:]
		}
	}
	return nil, nil
}

// tick has marks said again that were not for long, and forgets those that nobody says any
// more.
func (t *marks) tick(now time.Duration) {
	for h := t.own.first; h != nil && now-h.heard >= marksRefresh; h = t.own.first {
		h.unlink()
		h.heard = now
		t.own.add(h)
		t.soil(h)
	}
	looked := 0
	for h := t.rest.first; h != nil && now-h.heard >= marksAge && looked < marksStep; h = t.rest.first {
		t.forget(h)
		looked++
	}
	for user, until := range t.hurries {
		if until <= now {
			delete(t.hurries, user)
		}
	}
	if len(t.hurries) == 0 {
		t.hurries = map[markUser]time.Duration{} // a map keeps the memory of its fullest time
	}
}

// Mark takes the newest state of the mark of a session of this node. Other nodes are told
// within a second or so.
func (m *Machine) Mark(now Now, mark Mark) {
	now = m.enter(now)
	mark.Node, mark.Incarnation = m.cfg.Node, m.cfg.Incarnation
	if h := m.marks.set(now.Mono, mark, true); h != nil && !h.gone {
		m.marks.soil(h)
	}
}

// Hurry has what changes of a user's marks said at once for a time, because somebody waits
// for it.
func (m *Machine) Hurry(now Now, system domain.System, user string, within time.Duration) {
	now = m.enter(now)
	t, key := m.marks, markUser{system, user}
	_, again := t.hurries[key]
	if !again && len(t.hurries) >= maxHurries {
		return
	}
	t.hurries[key] = max(t.hurries[key], now.Mono+within)
	if again {
		return // those that are to be said are among the urgent ones
	}
	for _, h := range t.byUser[key] {
		if h.dirty && h.mine {
			t.urgent = append(t.urgent, h)
		}
	}
}

// Marks calls yield for each mark of a system that is known, or for those of one user if
// that is not "", in no order. Alive says that the node of the mark's session is, and mine
// that it is this one. The mark is good during the call only.
func (m *Machine) Marks(system domain.System, user string, yield func(mark *Mark, mine, alive bool)) {
	if user != "" {
		for _, h := range m.marks.byUser[markUser{system, user}] {
			yield(&h.Mark, h.mine, m.isAlive(h))
		}
		return
	}
	for _, list := range []*markList{&m.marks.own, &m.marks.rest} {
		for h := list.first; h != nil; h = h.next {
			if h.System == system {
				yield(&h.Mark, h.mine, m.isAlive(h))
			}
		}
	}
}

func (m *Machine) isAlive(h *heldMark) bool {
	return h.mine || m.nodes.peers[h.Incarnation] != nil
}
