package stream

import (
	"encoding/binary"
	"hash/maphash"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A verdict says what a dedupe knows of a message.
type verdict uint8

const (
	fresh     verdict = iota
	duplicate         // same id, same content
	conflict          // same id, other content
)

// maxVersions is how many contents under one id are told apart: behind that a
// publisher repeats ids without end, and its messages are all conflicts.
const maxVersions = 32

// A dedupe remembers ids and a digest of what came under them, for a while.
// Sightings are numbered; those from first to next are in the ring.
type dedupe struct {
	seed   maphash.Seed
	latest map[uint64]uint64 // digest of the id -> its latest sighting
	ring   []sighting        // number n lives at n % len
	first  uint64
	next   uint64
	most   int
	age    time.Duration
	now    time.Time // of the latest check
	peak   int       // see shrunk
}

type sighting struct {
	id, content uint64
	before      uint64 // an earlier sighting of the id, if it is >= first
	at          int64  // Unix microseconds
}

// sightingSize is what one takes.
const sightingSize = 32

func newDedupe(most int, age time.Duration) dedupe {
	return dedupe{
		seed: maphash.MakeSeed(), latest: make(map[uint64]uint64), most: most, age: age,
		first: 1, next: 1, // so that 0 is never in the ring
	}
}

// check says what m is and remembers it. Forgotten is whether an id that was
// still young had to make room.
func (d *dedupe) check(m *domain.Message, now time.Time) (v verdict, forgotten bool) {
	if now.Before(d.now) {
		d.setBack(now)
	}
	d.now = now
	for d.first < d.next && now.UnixMicro()-d.at(d.first).at > d.age.Microseconds() {
		d.forget()
	}
	d.shrink()
	s := sighting{id: maphash.String(d.seed, m.ID), content: d.digest(m), at: now.UnixMicro()}
	s.before = d.latest[s.id]
	for n, i := s.before, 0; n >= d.first && i < maxVersions; n, i = d.at(n).before, i+1 {
		if d.at(n).content == s.content {
			return duplicate, false
		}
		v = conflict
	}
	if d.len() == d.most {
		d.forget()
		forgotten = true
	}
	d.remember(s)
	return v, forgotten
}

// setBack is for a clock that was set back: what was seen in what is the future
// now would be remembered for too long.
func (d *dedupe) setBack(now time.Time) {
	for n := d.first; n < d.next; n++ {
		s := d.at(n)
		s.at = min(s.at, now.UnixMicro())
	}
}

func (d *dedupe) len() int              { return int(d.next - d.first) }
func (d *dedupe) at(n uint64) *sighting { return &d.ring[n%uint64(len(d.ring))] }

func (d *dedupe) remember(s sighting) {
	if d.len() == len(d.ring) {
		d.grow()
	}
	d.latest[s.id] = d.next
	d.peak = max(d.peak, len(d.latest))
	*d.at(d.next) = s
	d.next++
}

func (d *dedupe) grow() {
	d.resize(min(d.most, max(64, 2*len(d.ring))))
}

// shrink gives memory back when much was forgotten.
func (d *dedupe) shrink() {
	d.latest = shrunk(d.latest, &d.peak)
	if len(d.ring) > 256 && 8*d.len() < len(d.ring) {
		d.resize(len(d.ring) / 4)
	}
}

func (d *dedupe) resize(slots int) {
	old := *d
	d.ring = make([]sighting, slots)
	for n := old.first; n != old.next; n++ {
		*d.at(n) = *old.at(n)
	}
}

func (d *dedupe) forget() {
	if s := d.at(d.first); d.latest[s.id] == d.first {
		delete(d.latest, s.id)
	}
	d.first++
}

// leastIds are remembered though the node's budget is used up.
const leastIds = 1024

// squeeze forgets more than check is about to add, as memory is scarce, and says
// how many.
func (d *dedupe) squeeze() (n int) {
	for ; n < 2 && d.len() > leastIds; n++ {
		d.forget()
	}
	return n
}

// digest condenses the content of a message: what those who receive it get, but
// not what says when (time) and for how long (ttl), which a publisher that repeats
// it may have made anew, nor the session, which is another after a reconnect.
func (d *dedupe) digest(m *domain.Message) uint64 {
	var h maphash.Hash
	h.SetSeed(d.seed)
	writeNumber(&h, len(m.To))
	for _, t := range m.To {
		writeText(&h, t.String())
	}
	for _, s := range [...]string{m.Type, m.ContentType, m.From} {
		writeText(&h, s)
	}
	if len(m.Headers) > 0 {
		writeNumber(&h, int(d.headers(m.Headers)))
	}
	writeNumber(&h, len(m.Headers))
	h.Write(m.Data)
	return h.Sum64()
}

// headers condenses headers, whose order means nothing.
func (d *dedupe) headers(all map[string]string) (sum uint64) {
	for k, v := range all {
		var h maphash.Hash
		h.SetSeed(d.seed)
		writeText(&h, k)
		writeText(&h, v)
		sum += h.Sum64()
	}
	return sum
}

// writeText writes the length, too, so that no text runs into the next.
func writeText(h *maphash.Hash, s string) {
	writeNumber(h, len(s))
	h.WriteString(s)
}

func writeNumber(h *maphash.Hash, n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}
