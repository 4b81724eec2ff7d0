package control

import (
	"cmp"
	"slices"
	"time"
)

// Bounds of the journal.
const (
	journalTime = time.Minute
	journalSize = 100_000
)

// A transition is an event as it is kept: its id is made when somebody asks.
type transition struct {
	mono  time.Duration
	wall  int64
	kind  EventType
	place Place
	user  string
	cause cause
}

// journal holds the newest transitions, oldest first. Every node keeps one, so that each
// of them can become the speaker. What the speaker has yet to publish is kept for longer
// than journalTime, and so is what came after the speaker was heard last, but there are never
// more than journalSize transitions.
//
// Transitions are numbered from 0, so that a number stays good when older ones are forgotten.
type journal struct {
	all      []transition
	base     int  // number of all[0]
	next     int  // number of the first one that the speaker has not published
	asked    int  // number of the first one that events returned last
	awaited  bool // what events returned last may be confirmed
	speaking bool
	// stopped says that this node was the speaker until it stood still; resume is what
	// next was then.
	stopped bool
	resume  int
	// heard is when another speaker was heard last: what has come since is kept for longer.
	heard time.Duration
}

func (j *journal) end() int { return j.base + len(j.all) }

func (j *journal) add(t transition, now Now) {
	if len(j.all) == journalSize {
		j.cut(1)
	}
	j.all = append(j.all, t)
	j.trim(now)
}

// trim forgets what is too old.
func (j *journal) trim(now Now) {
	n, most := 0, len(j.all)
	if j.speaking {
		most = j.next - j.base
	}
	for n < most && min(now.Mono, j.heard)-j.all[n].mono > journalTime {
		n++
	}
	j.cut(n)
}

// cut forgets the first n. The array that they are in is given back when append, which
// finds it full, moves the others to a new one.
func (j *journal) cut(n int) {
	clear(j.all[:n])
	j.all = j.all[n:]
	j.base += n
	j.next = max(j.next, j.base)
	if len(j.all) == 0 {
		j.all = nil
	}
}

// since returns the number of the first transition not before a moment of Now.Mono.
func (j *journal) since(moment time.Duration) int {
	i, _ := slices.BinarySearchFunc(j.all, moment, func(t transition, m time.Duration) int {
		return cmp.Compare(t.mono, m)
	})
	return j.base + i
}
