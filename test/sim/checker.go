package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// The checker decides from two records alone: what the bus has carried, and
// what a client wrote down.

// A carried message, as the checker reads it from the wire.
type carried struct {
	N  int
	To []string
}

// read makes the wire's messages of payloads; what is none (a mark) is left out.
// One that a publisher sent again stands at its first place; repeated says
// behind how many messages its repetitions came.
func read(wire [][]byte) (all []carried, places []int, repeated map[int][]int) {
	seen := make(map[string]bool) // by id and content
	repeated = make(map[int][]int)
	for place, payload := range wire {
		var e struct {
			ID   string
			To   json.RawMessage
			Data struct{ N int }
		}
		if json.Unmarshal(payload, &e) != nil || e.To == nil {
			continue
		}
		if same := fmt.Sprint(e.ID, "#", e.Data.N); e.ID != "" && seen[same] {
			repeated[e.Data.N] = append(repeated[e.Data.N], len(all))
			continue
		} else {
			seen[same] = true
		}
		var to []string
		if json.Unmarshal(e.To, &to) != nil {
			to = make([]string, 1)
			if json.Unmarshal(e.To, &to[0]) != nil {
				continue
			}
		}
		all = append(all, carried{N: e.Data.N, To: to})
		places = append(places, place)
	}
	return all, places, repeated
}

// check returns everything that is wrong with what a client was told of one
// system. Mine says which targets are the client's. On a lossy bus the gap may
// come later than what it stands for: a publisher's next message shows it.
func check(wire [][]byte, events []event, lossy, short bool, mine func(target string) bool) (faults []string) {
	k := &checker{events: events, mine: mine, lossy: lossy, short: short, index: make(map[int]int)}
	for j, e := range events {
		if lossy && e.kind == "gap" {
			k.lastGap = j
		}
	}
	k.all, k.places, k.repeated = read(wire)
	for i, m := range k.all {
		k.index[m.N] = i
	}
	return k.walk(0, standing{got: make(map[int]bool)})
}

// A checker holds what was carried and what was told.
type checker struct {
	all      []carried
	places   []int       // on the wire
	index    map[int]int // a message's number: its index in all
	repeated map[int][]int
	events   []event
	mine     func(target string) bool
	lossy    bool
	short    bool
	lastGap  int // the last event that excuses what is missing before it
}

// A standing is how far a client has come.
type standing struct {
	started bool
	from    int       // the place on the wire where it started
	next    int       // the first message not yet accounted for
	covered bool      // by a gap, up to what comes next
	owed    bool      // a gap must come before the next message
	before  *standing // while owed: what holds if it never hears of it
	gaps    int       // told so far
	hellos  int
	got     map[int]bool // indices
}

func (k *checker) walk(first int, at standing) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for j := first; j < len(k.events); j++ {
		switch e := k.events[j]; e.kind {
		case "start":
			at.started, at.from, at.covered, at.owed = true, e.wire, false, false
			for at.next = 0; at.next < len(k.all) && k.places[at.next] < e.wire; at.next++ {
			}
		case "hello":
			if e.resumed && at.owed {
				at = *at.before // it was cut off before it heard anything there
			}
			at.hellos++
			if at.started && !e.resumed && k.lossy {
				// The other node may be behind the one before: what came may come
				// again, if the client was told that it starts anew.
				before := at
				at.next, at.covered, at.owed, at.got = 0, true, true, make(map[int]bool)
				if at.before = &before; before.owed {
					at.before = before.before
				}
			}
		case "gap":
			at.covered, at.owed = true, false
			at.gaps++
		case "message":
			if at.owed {
				fault("message %d came on a session that did not resume, and no gap said so", e.n)
			}
			i, known := k.index[e.n]
			copies := k.repeated[e.n]
			switch {
			case !known:
				fault("message %d was never on the bus", e.n)
				continue
			case !k.forMe(i):
				fault("message %d was for %v", e.n, k.all[i].To)
			case at.got[i] && len(copies) > 0 && (at.gaps > 0 || k.short && at.hellos > 1):
				// It was sent twice, and what some node knew of the first was lost
				// with what the gap stands for.
			case at.got[i]:
				fault("message %d came twice", e.n)
				continue
			case i < at.next && (len(copies) == 0 || copies[len(copies)-1] < at.next) && k.places[i] >= at.from:
				fault("message %d came after one that was behind it", e.n)
			}
			at.got[i] = true
			if !at.covered && j >= k.lastGap {
				faults = append(faults, k.missing(at, i)...)
			}
			for _, again := range copies {
				if !at.covered || again <= at.next {
					continue
				}
				// Which of the copies it was nobody can tell: any will do.
				later := at
				later.covered, later.next, later.got = false, again, maps.Clone(at.got)
				if rest := k.walk(j+1, later); len(rest) == 0 {
					return faults
				}
			}
			at.covered = false
			at.next = max(at.next, i+1)
		}
	}
	if at.started && !at.covered {
		faults = append(faults, k.missing(at, len(k.all))...)
	}
	return faults
}

// missing names what is the client's, up to message to, and did not come.
func (k *checker) missing(at standing, to int) (faults []string) {
	for i := at.next; i < to; i++ {
		if k.forMe(i) && !at.got[i] {
			faults = append(faults, fmt.Sprintf("message %d is missing, and no gap says so", k.all[i].N))
		}
	}
	return faults
}

func (k *checker) forMe(i int) bool { return slices.ContainsFunc(k.all[i].To, k.mine) }
