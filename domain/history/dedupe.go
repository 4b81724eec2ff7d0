package history

import (
	"encoding/binary"
	"hash/maphash"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Verdict says what a [Dedupe] knows of a message.
type Verdict uint8

// Verdicts of a [Dedupe].
const (
	Fresh     Verdict = iota // its id was not seen lately
	Duplicate                // same id, same content
	Conflict                 // same id, other content
)

// maxVersions is how many contents under one id are told apart. Beyond that a
// publisher repeats ids without end, and all its messages are conflicts.
const maxVersions = 32

// A Dedupe remembers ids, and a digest of what came under each, for a while.
// It measures that time by the log's clock. Sightings are numbered; those with
// first <= number < next are in the ring. It is not safe for concurrent use.
type Dedupe struct {
	seed   maphash.Seed
	latest map[uint64]uint64 // digest of the id: number of its latest sighting
	ring   []sighting        // sighting n is at index n % len
	first  uint64
	next   uint64
	most   int
	age    time.Duration
	clock  logClock
	now    time.Time // the log's time at the latest Check
	peak   int       // see Shrunk
}

type sighting struct {
	id, content uint64
	before      uint64 // number of an earlier sighting of the id, if it is >= first
	at          int64  // Unix microseconds
}

// sightingSize is what one takes.
const sightingSize = 32

// NewDedupe returns a Dedupe that remembers at most `most` ids, each for age. It
// must not be copied once it is in use.
func NewDedupe(most int, age time.Duration) Dedupe {
	return Dedupe{
		seed: maphash.MakeSeed(), latest: make(map[uint64]uint64), most: most, age: age,
		first: 1, next: 1, // so that 0 is never in the ring
	}
}

// Check says what m is, and remembers it. The log took m at time t; now is this
// node's time. The result forgotten reports whether another id had to make room
// before its time.
func (d *Dedupe) Check(m *domain.Message, t, now time.Time) (v Verdict, forgotten bool) {
	return d.check(m, d.clock.at(t, now))
}

func (d *Dedupe) check(m *domain.Message, now time.Time) (v Verdict, forgotten bool) {
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
			return Duplicate, false
		}
		v = Conflict
	}
	if d.len() == d.most {
		d.forget()
		forgotten = true
	}
	d.remember(s)
	return v, forgotten
}

// setBack is called when the clock was set back: sightings that are in the
// future now would be remembered for too long.
func (d *Dedupe) setBack(now time.Time) {
	for n := d.first; n < d.next; n++ {
		s := d.at(n)
		s.at = min(s.at, now.UnixMicro())
	}
}

func (d *Dedupe) len() int              { return int(d.next - d.first) }
func (d *Dedupe) at(n uint64) *sighting { return &d.ring[n%uint64(len(d.ring))] }

func (d *Dedupe) remember(s sighting) {
	if d.len() == len(d.ring) {
		d.grow()
	}
	d.latest[s.id] = d.next
	d.peak = max(d.peak, len(d.latest))
	*d.at(d.next) = s
	d.next++
}

func (d *Dedupe) grow() {
	d.resize(min(d.most, max(64, 2*len(d.ring))))
}

// shrink gives memory back when much was forgotten.
func (d *Dedupe) shrink() {
	d.latest = Shrunk(d.latest, &d.peak)
	if len(d.ring) > 256 && 8*d.len() < len(d.ring) {
		d.resize(len(d.ring) / 4)
	}
}

func (d *Dedupe) resize(slots int) {
	was := *d
	d.ring = make([]sighting, slots)
	for n := was.first; n != was.next; n++ {
		*d.at(n) = *was.at(n)
	}
}

func (d *Dedupe) forget() {
	if s := d.at(d.first); d.latest[s.id] == d.first {
		delete(d.latest, s.id)
	}
	d.first++
}

// leastIds are remembered even when the node's memory is used up.
const leastIds = 1024

// Squeeze forgets up to two ids, one more than the next Check adds, as memory is
// scarce. It returns how many it forgot.
func (d *Dedupe) Squeeze() (n int) {
	for ; n < 2 && d.len() > leastIds; n++ {
		d.forget()
	}
	return n
}

// Size is about what the remembered ids take, in bytes.
func (d *Dedupe) Size() int { return sightingSize*len(d.ring) + (2*wordSize+MapSlot)*d.peak }

// digest condenses the content of a message, which is what receivers get of it.
// Time and ttl do not count, as a publisher that repeats a message may have
// made them anew; nor does the session, which is another after a reconnect.
func (d *Dedupe) digest(m *domain.Message) uint64 {
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

// headers condenses headers, whose order has no meaning.
func (d *Dedupe) headers(all map[string]string) (sum uint64) {
	for k, v := range all {
		var h maphash.Hash
		h.SetSeed(d.seed)
		writeText(&h, k)
		writeText(&h, v)
		sum += h.Sum64()
	}
	return sum
}

// writeText writes the length as well, so that no text runs into the next.
func writeText(h *maphash.Hash, s string) {
	writeNumber(h, len(s))
	h.WriteString(s)
}

func writeNumber(h *maphash.Hash, n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}
