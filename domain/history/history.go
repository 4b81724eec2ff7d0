package history

import (
	"encoding/binary"
	"math"
	"sort"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Config says what bus a [History] is of.
type Config struct {
	HasLog  bool // entries come with positions of a log
	Backlog bool // older entries can be read from the log again

	// On a bus without a log:

	// FingerprintAge is for how long a node must have received everything
	// before it trusts fingerprints: as long as it remembers ids, so that it
	// recognises what another node may have delivered before.
	FingerprintAge time.Duration
	// FingerprintWait is how long after a cursor's time its fingerprint is
	// expected to come, as the other node may be a little ahead.
	FingerprintWait time.Duration
	// Fingerprints is the most that are remembered.
	Fingerprints int
}

// A History is the newest entries of one system and what is known of the logs
// that they came from. It is not safe for concurrent use.
type History struct {
	cfg      Config
	window   window
	start    Point        // see Start
	startOf  uint64       // the number of the entry that start is before
	head     Point        // up to here everything was seen; later than the newest entry where others passed
	gaps     ring[uint64] // numbers of gaps in the window
	segments segments

	logStart    uint64       // number of the gap at which head.Log began; none if it is not in the window
	movedAt     uint64       // number of the entry at which the bus was moved to head.Log; likewise
	rewound     span         // positions that came before the log went back to an earlier one
	successor   domain.LogID // will continue head.Log when the bus is moved; 0 if none is known
	origins     origins
	failedReads failedReads
	barrier     barrier

	own     domain.LogID // identifies the positions that are counted here, without a log
	ordinal uint64       // the last position that was counted here

	fingerprints fingerprints
	// fingerprintsFrom is when fingerprints become trustworthy: before it, this
	// node cannot tell a message that another node has delivered from a new one.
	fingerprintsFrom time.Time
}

// none is a number that no entry has.
const none = math.MaxUint64

// New returns an empty History. The LogID own is for the positions that it
// counts itself where the bus has none; no other node may use the same. A
// History must not be copied once it is in use.
func New(own domain.LogID, cfg Config) History {
	return History{cfg: cfg, window: newWindow(), logStart: none, movedAt: none, own: own,
		fingerprints: fingerprints{newNotes()}}
}

// Len returns how many entries are in the window.
func (h *History) Len() int { return h.window.len() }

// First returns the number of the oldest entry.
func (h *History) First() uint64 { return h.window.start }

// Next returns the number of the next entry to come.
func (h *History) Next() uint64 { return h.window.refs.end }

// At reads entry n, which must be in the window.
func (h *History) At(n uint64) Entry { return h.window.at(n) }

// Oldest returns when the oldest entry was received. There must be one.
func (h *History) Oldest() time.Time { return h.window.oldest() }

// Head returns the point up to which everything was seen; zero before Begin. It
// is the History's own: do not change it, nor keep it over a change.
func (h *History) Head() *Point { return &h.head }

// Start returns the point after which the window is complete. It is the
// History's own: do not change it, nor keep it over a change.
func (h *History) Start() *Point {
	if first := h.First(); first != h.startOf && h.window.refs.has(first-1) {
		h.start, h.startOf = h.window.point(first-1), first
	}
	return &h.start
}

// NextGap returns the number of the first gap in the window that is entry n or
// a later one.
func (h *History) NextGap(n uint64) (gap uint64, found bool) {
	if h.gaps.len() == 0 {
		return 0, false
	}
	i := h.gaps.start + uint64(sort.Search(h.gaps.len(), func(i int) bool {
		return *h.gaps.at(h.gaps.start + uint64(i)) >= n
	}))
	if i == h.gaps.end {
		return 0, false
	}
	return *h.gaps.at(i), true
}

// EntryBytes returns how many bytes of the heap the entries take.
func (h *History) EntryBytes() int { return h.window.bytes }

// Size returns how many bytes of the heap the History takes, with its entries.
func (h *History) Size() int {
	return h.window.size() + h.gaps.size() + h.fingerprints.size() + h.segments.size()
}

// NextPoint makes the point of the next entry from what a transport says of it:
// its position in the log, or "" where the bus has no positions; NextPoint then
// counts one of the History's own. The log took the entry at time t; where that
// is not plausible, now stands for it.
func (h *History) NextPoint(
	log domain.LogID, at domain.Position, t, now time.Time, origins ...domain.Location,
) Point {
	if at == "" {
		h.ordinal++
		log, at = h.own, domain.Position(binary.BigEndian.AppendUint64(nil, h.ordinal))
	}
	if !Plausible(t) {
		t = now
	}
	// Cursors carry milliseconds. So must points, to be comparable with them.
	c := domain.Cursor{Log: log, Position: at, Time: t.Truncate(time.Millisecond).UTC()}
	return Point{c, origins}
}

// IsOwn reports whether p is a position that this History has counted itself.
func (h *History) IsOwn(p *Point) bool { return p.Log == h.own }

// Begin sets the point that the first entry will follow.
func (h *History) Begin(p Point, now time.Time) {
	h.start = p
	h.fingerprintsFrom = now.Add(h.cfg.FingerprintAge)
	h.Advance(p)
}

// Expect sets the log that will continue the present one when the bus is moved;
// 0 for none. Cursors in it are ahead until then.
func (h *History) Expect(successor domain.LogID) { h.successor = successor }

// Advance moves the head, for an entry that does not enter the window.
func (h *History) Advance(p Point) {
	h.head = p
	for _, o := range p.Origins {
		h.origins.learn(o.Log)
	}
}

// Append puts a message into the window and returns its entry's number. It
// copies what it needs of the message.
func (h *History) Append(m *domain.Message, p Point, now time.Time) uint64 {
	h.Advance(p)
	return h.push(&record{point: p, message: m, added: now})
}

// AppendGap puts a gap into the window and returns its entry's number: the
// entries that come now follow p, and it is not proven that nothing was lost
// before them.
func (h *History) AppendGap(reason domain.GapReason, p Point, now time.Time) uint64 {
	if p.Log == h.own {
		p.ID = h.head.ID // a session that has come to the gap has seen all up to this fingerprint
	}
	h.origins.complete = false // what was missed may hold copies of further logs
	if back := h.cfg.HasLog && p.Position < h.head.Position; back || p.Log != h.head.Log {
		h.beginLog(p)
	}
	h.Advance(p)
	h.fingerprintsFrom = now.Add(h.cfg.FingerprintAge)
	n := h.push(&record{point: p, reason: reason, added: now})
	h.gaps.push(n)
	return n
}

// beginLog notes that another log begins at p, with the next entry, or the
// same log again at an earlier position.
func (h *History) beginLog(p Point) {
	h.origins.logs = nil
	h.forgetFailedReads()
	h.logStart, h.rewound = h.Next(), span{}
	if p.Log == h.head.Log {
		h.rewound = span{p.Position, h.head.Position}
	}
}

// AppendMove puts the point at which the bus was moved into the window: the log
// of p continues the logs of its origins. The result changed reports whether
// that is another log than the present one.
func (h *History) AppendMove(p Point, now time.Time) (changed bool) {
	if changed = p.Log != h.head.Log; changed {
		if h.head.Log != 0 {
			h.origins.learn(h.head.Log)
		}
		h.forgetFailedReads()
		h.movedAt, h.successor = h.Next(), 0
		h.rewound = span{}
	}
	h.push(&record{point: p, added: now})
	h.Advance(p)
	return changed
}

func (h *History) push(e *record) uint64 {
	h.segments.push(h.Next(), &e.point)
	return h.window.push(e)
}

// DropOldest forgets the oldest entry, which must exist.
func (h *History) DropOldest() {
	n := h.window.start
	h.window.drop()
	h.segments.trim(h.window.start)
	if h.gaps.len() > 0 && *h.gaps.at(h.gaps.start) == n {
		h.gaps.drop()
	}
	if n == h.logStart {
		h.logStart = none
	}
	if n == h.movedAt {
		h.movedAt = none
	}
	h.trimFingerprints()
}

// Continues reports whether the window continues what the log has up to its
// start.
func (h *History) Continues(log domain.LogID) bool {
	return log == h.Start().Log && !h.logStartsInWindow()
}

// AddFingerprint lets sessions from other nodes find the point right after the
// latest entry, if p has a fingerprint and it can be trusted: sessions must
// see nothing twice, so this node must have received everything for as long as
// it remembers ids.
func (h *History) AddFingerprint(p *Point, now time.Time) {
	if p.Log == h.own && p.ID != 0 && now.After(h.fingerprintsFrom) {
		h.fingerprints.add(p.ID, h.Next())
		h.trimFingerprints()
	}
}

// trimFingerprints keeps one more than the window has entries: that of the
// point before the oldest entry.
func (h *History) trimFingerprints() {
	h.fingerprints.trim(h.window.start, h.cfg.Fingerprints)
}
