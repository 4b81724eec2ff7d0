package control

import (
	"time"
)

// A fact is what is known of one key. It is true until end, unless it was deleted. Until
// keep it is remembered that this version was said, so that an older one, which may end
// later, does not come back: such a fact that is not true is a tombstone.
type fact struct {
	key       Key
	value     Value
	ver       version
	end, keep time.Duration // on Now.Mono
	least     time.Duration // keep is not before it: when earlier versions would have been forgotten
	del       bool
	origin    origin        // where end and keep come from
	said      time.Duration // when a node last published this version, on Now.Mono
	jitter    float64       // in [0, 1): when this node refreshes the fact

	tomb    bool       // it is a tombstone
	counted bool       // it is in the digests
	gone    bool       // it is no longer in the table
	queued  queueLevel // whether it has to be published
	keyHash uint64
	hash    uint64 // of key and version
	at      int    // index in facts.all
	heap    int    // index in facts.ends
}

// holds reports whether a fact is true.
func (f *fact) holds(mono time.Duration) bool { return f != nil && !f.del && f.end > mono }

const (
	// lateMargin is how long before it is forgotten a fact leaves the digests: nodes
	// forget a fact at slightly different times, and would else ask each other for it.
	lateMargin = 30 * time.Second
	// linger is how long it is remembered that a fact has ended. A node whose clock is
	// wrong by less than this, and that has read the fact in a log, is then told.
	linger = 15 * time.Minute
	// unknownTombstone is how long the tombstone of a fact is kept that was not known.
	unknownTombstone = 24 * time.Hour
)

// A facts is the map that all nodes share.
type facts struct {
	most  int
	byKey map[Key]*fact
	all   []*fact // in no order
	ends  endHeap
	tombs []*fact // oldest first, and others that are tombstones no longer
	tombN int     // those that are

	digest  digest
	buckets [bucketCount]uint64
	doubts  doubts

	rooms   map[membership][]*fact // memberships of a user in a system, by room
	members map[membership][]*fact // memberships in a room of a system, by user
	kinds   map[Kind]int           // how many there are of each kind

	urgent, bulk queue
	scan         int // the next of all that is looked at for a refresh
}

// A membership names a system and a user, or a system and a room.
type membership struct{ system, name string }

func newFacts(most int) *facts {
	return &facts{
		most: most, byKey: make(map[Key]*fact), kinds: make(map[Kind]int),
		rooms: make(map[membership][]*fact), members: make(map[membership][]*fact),
	}
}

// A merged says what became of a fact that was offered to the table.
type merged uint8

const (
	ignored merged = iota // it has ended, or a later version is known
	known                 // this version is known
	changed               // it counts now
	full                  // there is no space
)

// A claim is a fact that is offered to the table, with its ends on Now.Mono.
type claim struct {
	key       Key
	value     Value
	ver       version
	end, keep time.Duration
	del       bool
	origin    origin
}

// merge takes a claim into the table. It returns the fact of the key, if there is one
// now, and whether it was true before.
func (t *facts) merge(mono time.Duration, c claim) (f *fact, held bool, m merged) {
	f = t.byKey[c.key]
	if f == nil {
		if c.keep <= mono {
			return nil, false, ignored
		}
		if !t.space() {
			return nil, false, full
		}
		f = &fact{key: c.key, keyHash: hashKey(c.key), origin: origin{proven: true}}
		t.insert(f)
		t.set(mono, f, c)
		return f, false, changed
	}
	held = f.holds(mono)
	switch order := c.ver.compare(f.ver); {
	case order > 0:
		if c.keep <= mono { // it has ended, and so has what it replaces
			c.keep, c.end = mono, min(c.end, mono)
		}
		f.least = f.keep
		t.set(mono, f, c)
		return f, held, changed
	case order < 0:
		f.least = max(f.least, c.keep)
		if c.keep > f.keep {
			t.reset(mono, f, f.end, c.keep)
		}
		return f, held, ignored
	case !f.origin.proven && c.keep > mono && (c.origin.proven || c.end > f.end && !c.origin.guessed):
		// Of two ends that are not proven the later one counts: a block that lasts too
		// long is the lesser evil.
		t.from(f, c.origin)
		t.reset(mono, f, c.end, c.keep)
		if f.holds(mono) != held {
			return f, held, changed
		}
	}
	return f, held, known
}

// set makes a fact say what a claim says.
func (t *facts) set(mono time.Duration, f *fact, c claim) {
	t.count(f, false)
	t.unindex(f)
	f.value, f.ver, f.del = c.value, c.ver, c.del
	t.from(f, c.origin)
	f.hash = hashVersion(f.keyHash, f.ver)
	t.reset(mono, f, c.end, c.keep)
}

// reset gives a fact its ends, and brings what follows from them up to date.
func (t *facts) reset(mono time.Duration, f *fact, end, keep time.Duration) {
	f.end, f.keep = end, max(end, keep, f.least)
	t.bury(f, !f.holds(mono))
	if f.tomb {
		t.unindex(f)
	} else {
		t.index(f)
	}
	t.count(f, f.keep-mono > lateMargin)
	t.ends.fix(f)
}

// insert adds a fact that has no ends yet.
func (t *facts) insert(f *fact) {
	t.byKey[f.key] = f
	f.at = len(t.all)
	t.all = append(t.all, f)
	t.kinds[f.key.Kind]++
	t.ends.push(f)
}

// remove forgets a fact.
func (t *facts) remove(f *fact) {
	t.count(f, false)
	t.unindex(f)
	t.bury(f, false)
	t.from(f, origin{proven: true})
	t.ends.remove(f)
	delete(t.byKey, f.key)
	last := t.all[len(t.all)-1]
	t.all[f.at], last.at = last, f.at
	t.all[len(t.all)-1] = nil
	t.all = t.all[:len(t.all)-1]
	if t.kinds[f.key.Kind]--; t.kinds[f.key.Kind] == 0 {
		delete(t.kinds, f.key.Kind)
	}
	f.gone = true
}
