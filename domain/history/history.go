package history

import (
	"encoding/binary"
	"math"
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
type History[P any] struct {
	cfg      Config
	window   window[P]
	start    Point // the window is complete after this point
	head     Point // up to here everything was seen; later than the newest entry where others passed
	gaps     Numbers
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
func New[P any](own domain.LogID, cfg Config) History[P] {
	return History[P]{cfg: cfg, window: newWindow[P](), logStart: none, movedAt: none, own: own}
}

// Len returns how many entries are in the window.
func (h *History[P]) Len() int { return h.window.len() }

// First returns the number of the oldest entry.
func (h *History[P]) First() uint64 { return h.window.start }

// Next returns the number of the next entry to come.
func (h *History[P]) Next() uint64 { return h.window.end }

// At returns entry n, which must be in the window. It is good until the next
// call that changes the History.
func (h *History[P]) At(n uint64) *Entry[P] { return h.window.at(n) }

// Head returns the point up to which everything was seen; zero before Begin. It
// is the History's own: do not change it, nor keep it over a change.
func (h *History[P]) Head() *Point { return &h.head }

// Start returns the point after which the window is complete. It is the
// History's own: do not change it, nor keep it over a change.
func (h *History[P]) Start() *Point { return &h.start }

// NextGap returns the number of the first gap in the window that is entry n or
// a later one.
func (h *History[P]) NextGap(n uint64) (gap uint64, found bool) { return h.gaps.From(n) }

// EntryBytes returns about how many bytes of the heap the entries take.
func (h *History[P]) EntryBytes() int { return h.window.bytes }

// Overhead returns about how many bytes the History takes beside its entries.
func (h *History[P]) Overhead() int {
	return h.window.size() + h.gaps.Size() + h.fingerprints.size() + h.segments.size()
}

// Grow adds n bytes to the size of an entry in the window.
func (h *History[P]) Grow(e *Entry[P], n int) {
	e.Size += n
	h.window.bytes += n
}

// NextPoint makes the point of the next entry from what a transport says of it:
// its position in the log, or "" where the bus has no positions; NextPoint then
// counts one of the History's own. The log took the entry at time t; where that
// is not plausible, now stands for it.
func (h *History[P]) NextPoint(
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
func (h *History[P]) IsOwn(p *Point) bool { return p.Log == h.own }

// Begin sets the point that the first entry will follow.
func (h *History[P]) Begin(p Point, now time.Time) {
	h.start = p
	h.fingerprintsFrom = now.Add(h.cfg.FingerprintAge)
	h.Advance(p)
}

// Expect sets the log that will continue the present one when the bus is moved;
// 0 for none. Cursors in it are ahead until then.
func (h *History[P]) Expect(successor domain.LogID) { h.successor = successor }

// Advance moves the head, for an entry that does not enter the window.
func (h *History[P]) Advance(p Point) {
	h.head = p
	for _, o := range p.Origins {
		h.origins.learn(o.Log)
	}
}

// Append puts a message into the window and returns its entry's number. The
// payload takes about extra bytes of the heap.
func (h *History[P]) Append(m *domain.Message, p Point, now time.Time, payload P, extra int) uint64 {
	h.Advance(p)
	return h.push(Entry[P]{Point: p, Message: m, Added: now, Payload: payload, Size: m.Size() + p.Size() + extra})
}

// AppendGap puts a gap into the window and returns its entry's number: the
// entries that come now follow p, and it is not proven that nothing was lost
// before them.
func (h *History[P]) AppendGap(reason domain.GapReason, p Point, now time.Time) uint64 {
	if p.Log == h.own {
		p.ID = h.head.ID // a session that has come to the gap has seen all up to this fingerprint
	}
	h.origins.complete = false // what was missed may hold copies of further logs
	if back := h.cfg.HasLog && p.Position < h.head.Position; back || p.Log != h.head.Log {
		h.beginLog(p)
	}
	h.Advance(p)
	h.fingerprintsFrom = now.Add(h.cfg.FingerprintAge)
	n := h.push(Entry[P]{Point: p, Reason: reason, Added: now, Size: p.Size()})
	h.gaps.Push(n)
	return n
}

// beginLog notes that another log begins at p, with the next entry, or the
// same log again at an earlier position.
func (h *History[P]) beginLog(p Point) {
	h.origins.logs = nil
	h.forgetFailedReads()
	h.logStart, h.rewound = h.window.end, span{}
	if p.Log == h.head.Log {
		h.rewound = span{p.Position, h.head.Position}
	}
}

// AppendMove puts the point at which the bus was moved into the window and
// returns its entry's number: the log of p continues the logs of its origins.
// The result changed reports whether that is another log than the present one.
func (h *History[P]) AppendMove(p Point, now time.Time) (n uint64, changed bool) {
	if changed = p.Log != h.head.Log; changed {
		if h.head.Log != 0 {
			h.origins.learn(h.head.Log)
		}
		h.forgetFailedReads()
		h.movedAt, h.successor = h.window.end, 0
		h.rewound = span{}
	}
	n = h.push(Entry[P]{Point: p, Added: now, Size: p.Size()})
	h.Advance(p)
	return n, changed
}

func (h *History[P]) push(e Entry[P]) uint64 {
	h.segments.push(h.window.end, &e.Point)
	return h.window.push(e)
}

// DropOldest takes the oldest entry, which must exist, out of the window and
// returns it with its number.
func (h *History[P]) DropOldest() (n uint64, e Entry[P]) {
	n = h.window.start
	e = h.window.pop()
	h.start = e.Point
	h.segments.trim(h.window.start)
	h.gaps.DropFirst(n)
	if n == h.logStart {
		h.logStart = none
	}
	if n == h.movedAt {
		h.movedAt = none
	}
	h.trimFingerprints()
	return n, e
}

// Continues reports whether the window continues what the log has up to its
// start.
func (h *History[P]) Continues(log domain.LogID) bool {
	return log == h.start.Log && !h.logStartsInWindow()
}

// AddFingerprint lets sessions from other nodes find the point right after the
// latest entry, if p has a fingerprint and it can be trusted: sessions must
// see nothing twice, so this node must have received everything for as long as
// it remembers ids.
func (h *History[P]) AddFingerprint(p *Point, now time.Time) {
	if p.Log == h.own && p.ID != 0 && now.After(h.fingerprintsFrom) {
		h.fingerprints.add(p.ID, h.window.end)
		h.trimFingerprints()
	}
}

// trimFingerprints keeps one more than the window has entries: that of the
// point before the oldest entry.
func (h *History[P]) trimFingerprints() {
	h.fingerprints.trim(h.window.start, h.cfg.Fingerprints)
}
