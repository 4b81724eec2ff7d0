package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The checker decides from two records alone: what the bus has carried, and
// what a client wrote down.

// A carried message, as the checker reads it from the wire.
type carried struct {
	N     int
	To    []string
	shown int // behind which message's index it must have been noticed if it was lost
}

// severalTimes is how many messages and marks of one publisher, one after the
// other, a node may be taken to lose.
const severalTimes = 6

// read makes the wire's messages of payloads; what is none (a mark) is left out.
// One that a publisher sent again, or a bridge copied again, stands at its first
// place; repeated says behind how many messages its repetitions came.
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
		if same := fmt.Sprint(e.ID, "#", e.Data.N); seen[same] {
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
// system. Mine says which targets are the client's.
func check(wire [][]byte, events []event, kind bus, mine func(target string) bool) (faults []string) {
	k := &checker{events: events, mine: mine, bus: kind, index: make(map[int]int)}
	k.all, k.places, k.repeated = read(wire)
	if k.late {
		k.show(wire)
	}
	for i, m := range k.all {
		k.index[m.N] = i
	}
	return k.walk(0, standing{got: make(map[int]bool)})
}

// checkPublished returns everything that is wrong with what publishers were
// told: what was accepted is on the bus, and what was published over HTTP, one
// after the other, in that order.
func checkPublished(wire [][]byte, accepted []int) (faults []string) {
	all, _, _ := read(wire)
	there, last := make(map[int]bool), make(map[int]int)
	for _, m := range all {
		there[m.N] = true
		if who := m.N / theirs; who > 0 {
			if m.N < last[who] {
				faults = append(faults, fmt.Sprintf("%d stands behind %d", m.N, last[who]))
			}
			last[who] = m.N
		}
	}
	for _, n := range accepted {
		if !there[n] {
			faults = append(faults, fmt.Sprintf("%d was accepted, and is not on the bus", n))
		}
	}
	return faults
}

// A bus says what a client may be told.
type bus struct {
	lossy bool // keeps no log
	late  bool // lossy: a gap may come later than what it stands for
	short bool // keeps a short log
	calm  bool // nothing was lost: whoever is told a gap is told it for nothing
}

// A checker holds what was carried and what was told.
type checker struct {
	all      []carried
	places   []int       // on the wire
	index    map[int]int // a message's number: its index in all
	repeated map[int][]int
	events   []event
	mine     func(target string) bool
	bus
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
	node    string    // where the client is
	moved   bool      // it has come there from another, and heard no message yet
	hellos  int
	got     map[int]bool // indices
	missed  []int        // indices of what has not come; a gap must say so soon
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
			at.moved = at.node != "" && at.node != e.node
			at.node = e.node
			if at.started && !e.resumed && k.lossy {
				// The other node may be behind the one before: what came may come
				// again, if the client was told that it starts anew.
				before := at
				at.next, at.covered, at.owed, at.got, at.missed = 0, true, true, make(map[int]bool), nil
				if at.before = &before; before.owed {
					at.before = before.before
				}
			}
		case "gap":
			at.covered, at.owed, at.missed = true, false, nil
			at.gaps++
			if k.lossy && at.moved {
				// It could not go on there after all, which is as if hello had said so.
				at.next, at.got = 0, make(map[int]bool)
			}
			if k.calm {
				fault("a gap for nothing, behind %d messages", len(at.got))
			}
		case "message":
			if at.owed {
				fault("message %d came on a session that did not resume, and no gap said so", e.n)
			}
			at.moved = false
			i, known := k.index[e.n]
			copies := k.repeated[e.n]
			switch {
			case !known:
				fault("message %d was never on the bus", e.n)
				continue
			case !k.forMe(i):
				fault("message %d was for %v", e.n, k.all[i].To)
			case at.got[i] && len(copies) > 0 && (at.gaps > 0 || k.short && !k.lossy && at.hellos > 1):
				// It was sent twice, and what some node knew of the first was lost
				// with what the gap stands for.
			case at.got[i]:
				fault("message %d came twice", e.n)
				continue
			case i < at.next && (len(copies) == 0 || copies[len(copies)-1] < at.next) && k.places[i] >= at.from:
				fault("message %d came after one that was behind it", e.n)
			}
			at.got[i] = true
			at.missed = slices.DeleteFunc(slices.Clone(at.missed), func(n int) bool { return n == i })
			if !at.covered {
				at.missed = append(at.missed, k.missing(at, i)...)
			}
			faults = append(faults, k.overdue(&at, i)...)
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
		at.missed = append(slices.Clone(at.missed), k.missing(at, len(k.all))...)
	}
	return append(faults, k.overdue(&at, len(k.all))...)
}

// missing finds what is the client's, up to message to, and did not come.
func (k *checker) missing(at standing, to int) (missed []int) {
	for i := at.next; i < to; i++ {
		if k.forMe(i) && !at.got[i] {
			missed = append(missed, i)
		}
	}
	return missed
}

// show finds out where a loss of each message must have been noticed: its
// publisher's next number or mark shows it, unless that is lost, too.
func (k *checker) show(wire [][]byte) {
	next := make(map[string][]int) // publisher: its next places, the nearest last
	for i, place := len(k.all)-1, len(wire)-1; place >= 0; place-- {
		who := publisher(wire[place])
		if i >= 0 && k.places[i] == place {
			k.all[i].shown = i
			if n := len(next[who]); who != "" {
				k.all[i].shown = len(k.all)
				if n >= severalTimes {
					k.all[i].shown, _ = slices.BinarySearch(k.places, next[who][n-severalTimes])
				}
			}
			i--
		}
		if who != "" {
			next[who] = append(next[who], place)
		}
	}
}

// publisher tells our publishers from each other; "" for foreign ones.
func publisher(payload []byte) string {
	var e struct{ Stamp string }
	_ = json.Unmarshal(payload, &e) // what is none has none
	who, _, _ := strings.Cut(e.Stamp, ":")
	return who
}

// overdue names what is missing and ought to have been told by the time of
// message now.
func (k *checker) overdue(at *standing, now int) (faults []string) {
	at.missed = slices.DeleteFunc(slices.Clone(at.missed), func(i int) bool {
		late := now == len(k.all) || !k.late || now > k.all[i].shown
		if late {
			faults = append(faults, fmt.Sprintf("message %d is missing, and no gap says so", k.all[i].N))
		}
		return late
	})
	return faults
}

func (k *checker) forMe(i int) bool { return slices.ContainsFunc(k.all[i].To, k.mine) }
