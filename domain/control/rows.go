package control

import "math"

// A source is an incarnation of a node, as the Machine numbers them. 0 is this node.
type source uint32

const (
	// staged marks the rows of a source's snapshot that is not complete. They are rows of
	// a source of its own, which makes nobody present.
	staged source = 1 << 31
	nobody source = math.MaxUint32
)

// A cause is the message with which a change came: own changes have the number of the
// message that is going to tell of them. The ids of events are made from it, so that all
// nodes that saw the message give an event the same id.
type cause struct {
	inc string
	seq uint64
}

// A row says how many sessions a user has in a place on one node. 0 means that the row
// is gone.
type row struct {
	place Place
	user  string
	n     int
}

// A seat is a user in a place, with the rows of all sources. It exists while it has a
// row, and while the user is present. Most have one row, which is in the seat itself.
type seat struct {
	place, user uint32
	src         source // of the first row; nobody: there is none
	n           uint32
	more        uint32 // number+1 in presence.more of the next row; 0: there is none
	at          uint32 // index in place.seats
	since       uint32 // when the user came, in seconds since 1970; 0: not present
}

// An extra is a seat's row after the first.
type extra struct {
	src  source
	n    uint32
	more uint32
}

// A tally is the digest of a source's rows.
type tally struct {
	rows int
	sum  uint64 // of the hashes of the rows, with XOR, so that the order does not matter
	// seats are those in which there are staged rows, some of them twice, and others where
	// there are none any more. Of what is not staged it is nil.
	seats []uint32
}

func (t *tally) add(hash uint64) { t.rows, t.sum = t.rows+1, t.sum^hash }
func (t *tally) cut(hash uint64) { t.rows, t.sum = t.rows-1, t.sum^hash }

// row returns a source's number in a seat, to be read and written; nil if there is no row.
func (p *presence) row(s *seat, src source) *uint32 {
	if s.src == src {
		return &s.n
	}
	for i := s.more; i != 0; {
		e := p.more.at(i - 1)
		if e.src == src {
			return &e.n
		}
		i = e.more
	}
	return nil
}

// sessions is how many sessions the user has, on all nodes.
func (p *presence) sessions(s *seat) (sum int64) {
	if s.src < staged {
		sum = int64(s.n)
	}
	for i := s.more; i != 0; {
		e := p.more.at(i - 1)
		if e.src < staged {
			sum += int64(e.n)
		}
		i = e.more
	}
	return sum
}

func (p *presence) addRow(s *seat, src source, n uint32) {
	if s.src == nobody {
		s.src, s.n = src, n
		return
	}
	s.more = p.more.add(extra{src, n, s.more}) + 1
}

func (p *presence) cutRow(s *seat, src source) {
	if s.src == src {
		s.src, s.n = nobody, 0
		if i := s.more; i != 0 {
			e := *p.more.at(i - 1)
			s.src, s.n, s.more = e.src, e.n, e.more
			p.more.remove(i-1, extra{})
		}
		return
	}
	for link := &s.more; *link != 0; {
		i := *link
		e := p.more.at(i - 1)
		if e.src == src {
			*link = e.more
			p.more.remove(i-1, extra{})
			return
		}
		link = &e.more
	}
}

// put sets the number of a source other than this node in a seat, and its digest.
func (p *presence) put(id uint32, src source, n uint32) {
	s := p.seats.at(id)
	t := p.tally(src)
	have := p.row(s, src)
	if have != nil {
		t.cut(p.hash(s, *have))
		p.count(src, -1)
	}
	if n > 0 {
		t.add(p.hash(s, n))
		p.count(src, 1)
	}
	switch {
	case n == 0 && have != nil:
		p.cutRow(s, src)
	case n > 0 && have != nil:
		*have = n
	case n > 0:
		p.addRow(s, src, n)
	}
}

func (p *presence) count(src source, d int) {
	if src&staged != 0 {
		p.stagedRows += d
	} else {
		p.otherRows += d
	}
}

func (p *presence) tally(src source) *tally {
	t := p.tallies[src]
	if t == nil {
		t = new(tally)
		p.tallies[src] = t
	}
	return t
}

// digest is about a source's rows. Of the own rows (source 0) it covers what takeDirty
// has returned, and not what is still dirty: a message with rows carries the digest that
// is taken after its rows.
func (p *presence) digest(src source) (n int, sum uint64) {
	if t := p.tallies[src]; t != nil {
		return t.rows, t.sum
	}
	return 0, 0
}

// The digest of a row is a hash of its system, room, user and number. All nodes must
// compute the same: it is FNV-1a of the names, each with a byte after it that is in no
// name, and of the number's four bytes, mixed as the generator splitmix64 does it.
const (
	fnvStart = 14695981039346656037
	fnvPrime = 1099511628211
)

func hashName[T string | []byte](h uint64, name T) uint64 {
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * fnvPrime
	}
	return (h ^ 0xff) * fnvPrime
}

func hashPlace(at Place) uint64 {
	return hashName(hashName(fnvStart, at.System.String()), at.Room)
}

func (p *presence) hash(s *seat, n uint32) uint64 {
	h := hashName(p.dir.places.at(s.place).hash, p.dir.name(s.user))
	for shift := 0; shift < 32; shift += 8 {
		h = (h ^ uint64(n>>shift&0xff)) * fnvPrime
	}
	return mix(h)
}

func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
