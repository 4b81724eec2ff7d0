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
// It measures that time by the log's clock. It is not safe for concurrent use.
type Dedupe struct {
	seed  maphash.Seed
	seen  notes // by digest of the id; the value is the digest of the content
	most  int
	age   time.Duration
	unit  time.Duration // of the times of notes: a billionth of age, more or less
	clock logClock
	now   time.Time // the log's time at the latest Check
}

// NewDedupe returns a Dedupe that remembers at most `most` ids, each for age. It
// must not be copied once it is in use.
func NewDedupe(most int, age time.Duration) Dedupe {
	return Dedupe{seed: maphash.MakeSeed(), seen: newNotes(), most: most, age: age, unit: age>>30 + 1}
}

// Check says what m is, and remembers it. The log took m at time t; now is this
// node's time. The result forgotten reports whether another id had to make room
// before its time.
func (d *Dedupe) Check(m *domain.Message, t, now time.Time) (v Verdict, forgotten bool) {
	return d.CheckAt(m, d.clock.at(t, now))
}

// CheckAt is Check for a reader to whom its own time says nothing, as it may pause
// between two messages: now is the log's time.
func (d *Dedupe) CheckAt(m *domain.Message, now time.Time) (v Verdict, forgotten bool) {
	d.advance(now)
	id, content := maphash.String(d.seed, m.ID), d.digest(m)
	n, found := d.seen.newest(id)
	for i := 0; found && i < maxVersions; i++ {
		if d.seen.at(n).value == content {
			return Duplicate, false
		}
		v = Conflict
		n, found = d.seen.earlier(n)
	}
	if d.seen.len() == d.most {
		d.seen.forget()
		forgotten = true
	}
	d.seen.add(id, content, d.time(now))
	return v, forgotten
}

// time is a time in the units of notes. Differences of times that are not
// further apart than four times the age are right.
func (d *Dedupe) time(t time.Time) uint32 { return uint32(t.UnixNano() / int64(d.unit)) }

// advance sets the time, and forgets the ids that are too old by then.
func (d *Dedupe) advance(now time.Time) {
	passed := now.Sub(d.now)
	if passed < 0 {
		d.setBack(now, -passed)
	}
	d.now = now
	at, age := d.time(now), uint32(d.age/d.unit)+1 // one unit, as both times are rounded
	for d.seen.len() > 0 && (passed > d.age || at-d.seen.oldest().at > age) {
		d.seen.forget()
	}
}

// setBack is called when the clock was set back to now: ids that are in the
// future now would be remembered for too long.
func (d *Dedupe) setBack(now time.Time, by time.Duration) {
	at := d.time(now)
	for n := d.seen.ring.start; n < d.seen.ring.end; n++ {
		it := d.seen.at(n)
		if by > d.age || int32(it.at-at) > 0 {
			it.at = at
		}
	}
}

// leastIds are remembered even when the node's memory is used up.
const leastIds = 1024

// Squeeze forgets up to two ids, one more than the next Check adds, as memory is
// scarce. It returns how many it forgot.
func (d *Dedupe) Squeeze() (n int) {
	for ; n < 2 && d.seen.len() > leastIds; n++ {
		d.seen.forget()
	}
	return n
}

// Size is what the remembered ids take, in bytes.
func (d *Dedupe) Size() int { return d.seen.size() }

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
