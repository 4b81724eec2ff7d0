package control

import "time"

// A grace is the time in which a user without sessions is still present. When it is
// over, the user leaves because of the message that ended the last session.
type grace struct {
	seat       uint32
	until      time.Duration // Now.Mono
	cause      cause
	prev, next *grace
}

// graces are in the order in which they end, which is that in which they begin.
type graces struct {
	bySeat      map[uint32]*grace
	first, last *grace
}

func (gs *graces) begin(seat uint32, until time.Duration, c cause) {
	g := &grace{seat: seat, until: until, cause: c, prev: gs.last}
	if gs.last == nil {
		gs.first = g
	} else {
		gs.last.next = g
	}
	gs.last = g
	gs.bySeat[seat] = g
}

func (gs *graces) end(seat uint32) {
	g := gs.bySeat[seat]
	if g == nil {
		return
	}
	if g.prev == nil {
		gs.first = g.next
	} else {
		g.prev.next = g.next
	}
	if g.next == nil {
		gs.last = g.prev
	} else {
		g.next.prev = g.prev
	}
	delete(gs.bySeat, seat)
	if gs.first == nil {
		gs.bySeat = map[uint32]*grace{} // a map keeps the memory of its fullest time
	}
}
