package memory

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A log holds the records of one topic, with ascending sequence numbers. It
// drops the oldest when there are too many, when they are too large together, or
// when they are too old. It is safe for concurrent use.
type log struct {
	cfg Config

	mu     sync.Mutex
	id     domain.LogID      // guarded by mu
	ring   []record          // a power of two long; record n is at n modulo that; guarded by mu
	first  uint64            // sequence number of the oldest record kept; guarded by mu
	next   uint64            // sequence number that the next record gets; guarded by mu
	bytes  int               // size of the records kept; guarded by mu
	groups map[string]*group // at most maxGroups; guarded by mu
	more   chan struct{}     // closed at the next change; nil if nobody waits; guarded by mu
}

func newLog(cfg Config) *log {
	return &log{id: newID(), cfg: cfg, first: 1, next: 1}
}

func newID() domain.LogID {
	var id [8]byte
	rand.Read(id[:]) // never fails
	id[0] |= 1       // a LogID of 0 means "no log"
	return domain.LogID(binary.BigEndian.Uint64(id[:]))
}

// appended says where records were appended.
type appended struct {
	log   domain.LogID
	first uint64 // sequence number of the first; those of the others follow
	time  time.Time
}

// append appends the records, which the caller may not use any more, and drops
// old ones to make room. The errors are what Driver.Publish returns.
func (l *log) append(records []record) (at appended, errs []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now() // taken under the lock, so that times ascend as positions do
	at = appended{log: l.id, first: l.next, time: now}
	for i := range records {
		r := &records[i]
		if r.size > l.cfg.Bytes {
			if errs == nil {
				errs = make([]error, len(records))
			}
			errs[i] = fmt.Errorf("memory: a message of %d bytes is more than a topic holds (%d): %w",
				r.size, l.cfg.Bytes, domain.ErrTooLarge)
			continue
		}
		r.time = now
		l.push(*r)
	}
	l.dropExpired(now)
	l.wake()
	return at, errs
}

// wake wakes everybody who waits for a change. mu must be held.
func (l *log) wake() {
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// push makes room for a record and appends it. mu must be held.
func (l *log) push(r record) {
	for l.next > l.first && (l.hasMost() || l.bytes+r.size > l.cfg.Bytes) {
		l.dropFirst()
	}
	if l.kept() == len(l.ring) {
		l.resize(max(64, 2*len(l.ring)))
	}
	*l.at(l.next) = r
	l.next++
	l.bytes += r.size
}

// kept returns the number of records. mu must be held.
func (l *log) kept() int { return int(l.next - l.first) }

// hasMost reports whether there are as many records as may be. mu must be held.
func (l *log) hasMost() bool { return l.cfg.Messages > 0 && l.kept() >= l.cfg.Messages }

// at returns the record with a sequence number. mu must be held.
func (l *log) at(seq uint64) *record { return &l.ring[seq&uint64(len(l.ring)-1)] }

// resize makes a ring of so many slots, which must be a power of two. mu must be
// held.
func (l *log) resize(slots int) {
	ring := make([]record, slots)
	for seq := l.first; seq < l.next; seq++ {
		ring[seq&uint64(len(ring)-1)] = *l.at(seq)
	}
	l.ring = ring
}

// dropFirst drops the oldest record, which must exist. mu must be held.
func (l *log) dropFirst() {
	r := l.at(l.first)
	l.bytes -= r.size
	*r = record{}
	l.first++
	if len(l.ring) > 1024 && 8*l.kept() < len(l.ring) { // many have gone
		l.resize(len(l.ring) / 4)
	}
}

// expire drops what is older than the retention.
func (l *log) expire(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropExpired(now)
}

// dropExpired does what expire does. mu must be held.
func (l *log) dropExpired(now time.Time) {
	for l.kept() > 0 && now.Sub(l.at(l.first).time) > l.cfg.Retention {
		l.dropFirst()
	}
}

// forget drops all but the newest keep records.
func (l *log) forget(keep int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.kept() > keep {
		l.dropFirst()
	}
}

// renew makes this another log, which is empty, and restarts the groups.
func (l *log) renew() {
	l.mu.Lock()
	for l.kept() > 0 {
		l.dropFirst()
	}
	l.id, l.first, l.next = newID(), 1, 1
	groups := slices.Collect(maps.Values(l.groups))
	l.wake()
	l.mu.Unlock()
	// A group takes the log's lock while it holds its own, so its lock must not
	// be taken while the log's is held.
	for _, g := range groups {
		g.restart()
	}
}

// resolve returns the sequence number that a position stands for. The error is a
// GapError if not everything after the position is in the log.
func (l *log) resolve(after domain.Position, now time.Time) (domain.LogID, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropExpired(now)
	if after == "" {
		return l.id, l.next - 1, nil
	}
	if len(after) != positionSize {
		return 0, 0, &domain.GapError{
			Reason: domain.UnknownCursor,
			Detail: fmt.Sprintf("position %x is not one of this transport", string(after)),
		}
	}
	seq := binary.BigEndian.Uint64([]byte(after))
	if seq >= l.next {
		return 0, 0, &domain.GapError{
			Reason: domain.UnknownCursor,
			Detail: fmt.Sprintf("position %d is beyond the end, %d", seq, l.next-1),
		}
	}
	return l.id, seq, l.keeps(seq)
}

// before returns the sequence number of the last record before the first one
// that was published at or after t.
func (l *log) before(t, now time.Time) (domain.LogID, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropExpired(now)
	isSince := func(i int) bool { return !l.at(l.first + uint64(i)).time.Before(t) }
	older := sort.Search(l.kept(), isSince)
	return l.id, l.first + uint64(older) - 1
}

// tail returns the sequence number of the newest record, or 0 if there never was
// one.
func (l *log) tail() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1
}

// begin returns the sequence number after which everything is in the log.
func (l *log) begin() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first - 1
}

// keeps returns a GapError unless everything after seq is in the log. mu must be
// held.
func (l *log) keeps(seq uint64) error {
	if seq+1 < l.first {
		return &domain.GapError{
			Reason: domain.Trimmed,
			Detail: fmt.Sprintf("the log begins at %d, and %d was the last one read", l.first, seq),
		}
	}
	return nil
}

// read appends up to limit records after seq to dst. The log must still be the
// one with the given id, unless that is 0. If there are no such records yet, the
// channel is closed when that may have changed.
func (l *log) read(dst []record, id domain.LogID, seq uint64, limit int) ([]record, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id != 0 && id != l.id {
		return dst, nil, &domain.GapError{Reason: domain.UnknownCursor, Detail: "the topic was made anew"}
	}
	if err := l.keeps(seq); err != nil {
		return dst, nil, err
	}
	end := min(l.next, seq+1+uint64(limit))
	if seq+1 >= end {
		if l.more == nil {
			l.more = make(chan struct{})
		}
		return dst, l.more, nil
	}
	for at := seq + 1; at < end; at++ {
		dst = append(dst, *l.at(at))
	}
	return dst, nil, nil
}
