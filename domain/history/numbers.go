package history

// Numbers are numbers of entries that are in the window, in ascending order.
// The zero Numbers is empty. It is not safe for concurrent use.
type Numbers struct {
	all  []uint64
	gone int // how many of all were dropped
}

// Len returns how many there are.
func (s *Numbers) Len() int { return len(s.all) - s.gone }

// Size is about what they take, in bytes.
func (s *Numbers) Size() int { return wordSize * cap(s.all) }

// First returns the lowest number. There must be one.
func (s *Numbers) First() uint64 { return s.all[s.gone] }

// From returns the first number that is n or more. Each session that resumes
// asks once for each message: a loop of its own takes half as long as a search
// with a callback.
func (s *Numbers) From(n uint64) (uint64, bool) {
	low, high := s.gone, len(s.all)
	for low < high {
		if middle := int(uint(low+high) / 2); s.all[middle] < n {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == len(s.all) {
		return 0, false
	}
	return s.all[low], true
}

// Push adds the newest number.
func (s *Numbers) Push(n uint64) {
	if len(s.all) == cap(s.all) && s.gone > len(s.all)/2 {
		s.compact(s.all[:0])
	}
	s.all = append(s.all, n)
}

// DropFirst forgets the oldest number if it is n.
func (s *Numbers) DropFirst(n uint64) {
	if s.Len() == 0 || s.all[s.gone] != n {
		return
	}
	s.gone++
	switch live := s.Len(); {
	case live == 0 && cap(s.all) > 8:
		*s = Numbers{}
	case live == 0:
		s.all, s.gone = s.all[:0], 0
	case cap(s.all) > 32 && 4*live < cap(s.all):
		s.compact(make([]uint64, 0, 2*live))
	}
}

func (s *Numbers) compact(into []uint64) { s.all, s.gone = append(into, s.all[s.gone:]...), 0 }
