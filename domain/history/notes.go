package history

import "math/bits"

// Notes are numbered and found by a key; the oldest is forgotten first. A key
// may have several notes. Those whose keys fall into the same bucket are a
// chain, from the newest to the oldest: so forgetting one costs nothing, and
// there are no pointers.
type notes struct {
	ring  ring[note]
	heads []uint32 // by bucket: the newest note in it; twice as many as the ring has slots
}

// A note. Numbers of notes are known by their lower 32 bits.
type note struct {
	key, value uint64
	at         uint32 // a time, in units of the owner's
	before     uint32 // the next older note in the same bucket
}

func newNotes() notes { return notes{ring: newRing[note](firstNumber)} } // 0 is no note

func (s *notes) len() int          { return s.ring.len() }
func (s *notes) at(n uint64) *note { return s.ring.at(n) }
func (s *notes) oldest() *note     { return s.ring.at(s.ring.start) }
func (s *notes) size() int         { return s.ring.size() + 4*len(s.heads) }
func (s *notes) bucket(key uint64) *uint32 {
	const odd = 0x9e3779b97f4a7c15 // spreads keys that are near each other
	return &s.heads[(key*odd)>>(64-bits.Len(uint(len(s.heads)-1)))]
}

// add makes a note.
func (s *notes) add(key, value uint64, at uint32) {
	s.ring.push(note{key: key, value: value, at: at})
	if len(s.heads) != 2*len(s.ring.slots) {
		s.chainAll()
		return
	}
	s.chain(s.ring.end - 1)
}

// forget forgets the oldest note.
func (s *notes) forget() {
	s.ring.drop()
	if len(s.heads) != 2*len(s.ring.slots) {
		s.chainAll()
	}
}

func (s *notes) chainAll() {
	s.heads = make([]uint32, 2*len(s.ring.slots))
	for n := s.ring.start; n < s.ring.end; n++ {
		s.chain(n)
	}
}

func (s *notes) chain(n uint64) {
	it := s.at(n)
	head := s.bucket(it.key)
	it.before, *head = *head, uint32(n)
}

// newest returns the newest note with the key.
func (s *notes) newest(key uint64) (n uint64, found bool) {
	if s.len() == 0 {
		return 0, false
	}
	return s.search(key, s.ring.end, *s.bucket(key))
}

// earlier returns the newest note that is older than note n and has its key.
func (s *notes) earlier(n uint64) (uint64, bool) {
	return s.search(s.at(n).key, n, s.at(n).before)
}

// search walks a chain that begins at a note below number n.
func (s *notes) search(key, n uint64, low uint32) (uint64, bool) {
	for {
		back := uint64(uint32(n) - low)
		if back == 0 || back > n-s.ring.start { // the chain goes on with what is forgotten
			return 0, false
		}
		n -= back
		if s.at(n).key == key {
			return n, true
		}
		low = s.at(n).before
	}
}
