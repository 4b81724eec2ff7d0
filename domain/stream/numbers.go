package stream

// Numbers are the entries of one target that are in the window, in order. The
// zero numbers are none.
type numbers struct {
	all  []uint64
	gone int // how many of them were dropped
}

func (s *numbers) len() int { return len(s.all) - s.gone }

// size is what they take.
func (s *numbers) size() int { return wordSize * cap(s.all) }

// from returns the first number that is n or more. Each session that resumes asks
// for each message: a loop of its own takes half as long as one with a callback.
func (s *numbers) from(n uint64) (uint64, bool) {
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

// push adds the newest number.
func (s *numbers) push(n uint64) {
	if len(s.all) == cap(s.all) && s.gone > len(s.all)/2 {
		s.compact(s.all[:0])
	}
	s.all = append(s.all, n)
}

// prepend adds older numbers, which become its own.
func (s *numbers) prepend(older []uint64) {
	s.all, s.gone = append(older, s.all[s.gone:]...), 0
}

// dropFirst forgets the oldest number, which must be n if it is there.
func (s *numbers) dropFirst(n uint64) {
	if s.len() == 0 || s.all[s.gone] != n {
		return
	}
	s.gone++
	switch live := s.len(); {
	case live == 0 && cap(s.all) > 8:
		*s = numbers{}
	case live == 0:
		s.all, s.gone = s.all[:0], 0
	case cap(s.all) > 32 && 4*live < cap(s.all):
		s.compact(make([]uint64, 0, 2*live))
	}
}

func (s *numbers) compact(into []uint64) { s.all, s.gone = append(into, s.all[s.gone:]...), 0 }
