package client

import "time"

// mostOverlap is how many messages one connection may bring while the next one is being
// made. With more of them, the client stays where it is until the node closes the
// connection.
const mostOverlap = 10_000

// overlapFor is how long a message that an earlier connection brought is recognised. In so
// much time nodes deliver no second message with the same id.
const overlapFor = 2 * time.Minute

// An overlap holds which messages one connection has brought since the next one was begun.
// The next one brings them again. Client.mu guards it.
type overlap struct {
	systems map[string]*repetitions
	size    int
	full    bool      // something was not noted, so the next connection must not take over
	end     time.Time // it holds nothing any more after it; zero while messages are noted
}

// repetitions are the messages of one system that are to come again.
type repetitions struct {
	ids map[string]int // how often each was brought
	// ahead says that the cursor that the client has is that of the newest of them. It is
	// not after a gap.
	ahead bool
}

// note remembers a message that has come, if there is room for it.
func (v *overlap) note(o *op) {
	if v.size >= mostOverlap {
		v.full = true
		return
	}
	if v.systems == nil {
		v.systems = map[string]*repetitions{}
	}
	r := v.systems[o.System]
	if r == nil {
		r = &repetitions{ids: map[string]int{}, ahead: true}
		v.systems[o.System] = r
	}
	r.ids[o.ID]++
	v.size++
}

// drops says whether an op of the new connection tells what the client knows already: a
// message that it has, or a cursor before the one that it has. The cursor of a message that
// is dropped counts if behind.
func (v *overlap) drops(o *op, now time.Time) (drop, behind bool) {
	r := v.systems[o.System]
	switch {
	case r == nil:
		return false, false
	case o.Name == "cursor":
		return r.ahead && now.Before(v.end), false
	case o.Name == "gap":
		r.ahead = false
		return false, false
	case o.Name != "message":
		return false, false
	case r.ids[o.ID] == 0:
		if !now.Before(v.end) {
			delete(v.systems, o.System)
		}
		return false, false
	}
	if r.ids[o.ID]--; r.ids[o.ID] == 0 {
		delete(r.ids, o.ID)
	}
	behind = !r.ahead
	if len(r.ids) == 0 {
		delete(v.systems, o.System)
	}
	return true, behind
}
