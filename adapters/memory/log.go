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

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A log is one topic: records with ascending sequence numbers, the oldest of
// which are dropped when they are too many, too large together or too old. It
// is safe for concurrent use.
type log struct {
	cfg Config

	mu     sync.Mutex
	id     domain.LogID      // guarded by mu
	ring   []record          // a power of two long; sequence n is at n modulo that; guarded by mu
	first  uint64            // the oldest kept; guarded by mu
	next   uint64            // the next to be given out; guarded by mu
	bytes  int               // of what is kept; guarded by mu
	groups map[string]*group // guarded by mu; at most maxGroups
	more   chan struct{}     // not nil: somebody waits for its close; guarded by mu
}

func newLog(cfg Config) *log {
	return &log{id: newID(), cfg: cfg, first: 1, next: 1}
}

func newID() domain.LogID {
	var id [8]byte
	rand.Read(id[:]) // never fails
	id[0] |= 1       // 0 would be no log
	return domain.LogID(binary.BigEndian.Uint64(id[:]))
}

// append adds the records, which it keeps, and drops what is then too much.
// The errors are as Driver.Publish returns them.
func (l *log) append(records []record) (errs []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now() // under the lock: times ascend as positions do
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
	l.drop(now)
	l.wake()
	return errs
}

// wake wakes who waits for more. Call it with mu held.
func (l *log) wake() {
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// push appends one record and makes room for it. Call it with mu held.
func (l *log) push(r record) {
	for l.next > l.first && (l.kept() >= l.cfg.Messages || l.bytes+r.size > l.cfg.Bytes) {
		l.dropFirst()
	}
	if l.kept() == len(l.ring) {
		l.grow()
	}
	*l.at(l.next) = r
	l.next++
	l.bytes += r.size
}

func (l *log) kept() int { return int(l.next - l.first) }

func (l *log) at(seq uint64) *record { return &l.ring[seq&uint64(len(l.ring)-1)] }

func (l *log) grow() {
	ring := make([]record, max(64, 2*len(l.ring)))
	for seq := l.first; seq < l.next; seq++ {
		ring[seq&uint64(len(ring)-1)] = *l.at(seq)
	}
	l.ring = ring
}

// dropFirst drops the oldest record. Call it with mu held and something kept.
func (l *log) dropFirst() {
	r := l.at(l.first)
	l.bytes -= r.size
	*r = record{}
	l.first++
}

// expire drops what is older than the retention.
func (l *log) expire(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(now)
}

// drop is expire with mu held.
func (l *log) drop(now time.Time) {
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

// renew makes it another log, an empty one.
func (l *log) renew() {
	l.mu.Lock()
	for l.kept() > 0 {
		l.dropFirst()
	}
	l.id, l.first, l.next = newID(), 1, 1
	groups := slices.Collect(maps.Values(l.groups))
	l.wake()
	l.mu.Unlock()
	for _, g := range groups { // a group's lock comes before the log's
		g.restart()
	}
}

// place resolves a position to the sequence number after which to read, or says
// why reading on from there would not be continuous.
func (l *log) place(after domain.Position, now time.Time) (domain.LogID, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(now)
	if after == "" {
		return l.id, l.next - 1, nil
	}
	if len(after) != positionSize {
		return 0, 0, &transport.GapError{Reason: domain.UnknownCursor, Detail: fmt.Sprintf("position %x is not one of this transport", string(after))}
	}
	seq := binary.BigEndian.Uint64([]byte(after))
	if seq >= l.next {
		return 0, 0, &transport.GapError{Reason: domain.UnknownCursor, Detail: fmt.Sprintf("position %d is beyond the end, %d", seq, l.next-1)}
	}
	return l.id, seq, l.keeps(seq)
}

// before returns the sequence number after which everything was published at or
// after t, so far as it is kept.
func (l *log) before(t, now time.Time) (domain.LogID, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(now)
	older := sort.Search(l.kept(), func(i int) bool { return !l.at(l.first + uint64(i)).time.Before(t) })
	return l.id, l.first + uint64(older) - 1
}

func (l *log) tail() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1
}

// begin is the sequence number after which everything is kept.
func (l *log) begin() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first - 1
}

// keeps says whether everything after seq is still there. Call it with mu held.
func (l *log) keeps(seq uint64) error {
	if seq+1 < l.first {
		return &transport.GapError{Reason: domain.Trimmed, Detail: fmt.Sprintf("the log begins at %d, and %d was the last one read", l.first, seq)}
	}
	return nil
}

// read appends to dst up to most records after seq of the log id; 0 is whatever
// log this is. If there are none yet, the channel is closed when that may have
// changed.
func (l *log) read(dst []record, id domain.LogID, seq uint64, most int) ([]record, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id != 0 && id != l.id {
		return dst, nil, &transport.GapError{Reason: domain.UnknownCursor, Detail: "the topic was made anew"}
	}
	if err := l.keeps(seq); err != nil {
		return dst, nil, err
	}
	end := min(l.next, seq+1+uint64(most))
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
