package load

import "fmt"

// A sequence is the messages with the same stamp.to, as one client sees them.
// Numbers below next have come, or are in holes, or were lost in a gap that the
// server told.

// A checker follows the sequences of one client and finds what is missing, repeated
// or out of order. A client for which all is well costs four bytes a sequence.
// It is not safe for concurrent use.
type checker struct {
	next []uint32 // by sequence: the number that must come next
	rare *oddities
}

// Oddities are what a checker needs only when something was not as it should be.
type oddities struct {
	holes   [][]hole // by sequence: what did not come when it should have, in order
	crossed []bool   // by sequence: a gap was told, and no message has come since
	tally
}

// A hole is numbers that have not come: from, and up to but not including to.
type hole struct{ from, to uint32 }

// A tally counts messages, of one client or of all.
type tally struct {
	Lost      int // never came, and no gap says so
	Repeated  int // came again
	Reordered int // came after one that was published later
	InGaps    int // lost, and the server told a gap
	Gaps      int // gaps that the server told
}

func (t *tally) add(o tally) {
	t.Lost += o.Lost
	t.Repeated += o.Repeated
	t.Reordered += o.Reordered
	t.InGaps += o.InGaps
	t.Gaps += o.Gaps
}

// maxHoles bounds the holes that are remembered of one sequence. What would need
// more counts as lost at once.
const maxHoles = 1000

func (c *checker) odd() *oddities {
	if c.rare == nil {
		c.rare = &oddities{holes: make([][]hole, len(c.next)), crossed: make([]bool, len(c.next))}
	}
	return c.rare
}

// gap notes that the server told a gap: the next message of each sequence may have
// any number.
func (c *checker) gap() {
	o := c.odd()
	o.Gaps++
	for i := range o.crossed {
		o.crossed[i] = true
	}
}

// see takes the message with number n of a sequence. It reports whether the message
// is new, and in words what is wrong with it, if something is.
func (c *checker) see(sequence int, n uint32) (isNew bool, fault string) {
	next := c.next[sequence]
	if n == next && (c.rare == nil || !c.rare.crossed[sequence]) {
		c.next[sequence]++
		return true, ""
	}
	o := c.odd()
	switch {
	case o.crossed[sequence]:
		o.crossed[sequence] = false
		o.InGaps += int(max(n, next) - next)
		c.next[sequence] = n + 1
		return true, ""
	case n > next:
		c.next[sequence] = n + 1
		if len(o.holes[sequence]) == maxHoles {
			o.Lost += int(n - next)
		} else {
			o.holes[sequence] = append(o.holes[sequence], hole{next, n})
		}
		return true, "" // what is missing may still come
	case o.fill(sequence, n):
		o.Reordered++
		return true, fmt.Sprintf("message %d came after message %d", n, next-1)
	}
	o.Repeated++
	return false, fmt.Sprintf("message %d came again", n)
}

// fill takes n out of the holes of a sequence. It reports whether n was in one.
func (o *oddities) fill(sequence int, n uint32) bool {
	holes := o.holes[sequence]
	for i, h := range holes {
		if n < h.from || n >= h.to {
			continue
		}
		var parts []hole
		for _, part := range []hole{{h.from, n}, {n + 1, h.to}} {
			if part.from < part.to {
				parts = append(parts, part)
			}
		}
		o.holes[sequence] = append(holes[:i:i], append(parts, holes[i+1:]...)...)
		return true
	}
	return false
}

// finish returns what was found, when published(i) messages of sequence i are known
// to be on the bus. It calls missing for each hole that stays.
func (c *checker) finish(published func(sequence int) uint32, missing func(sequence int, h hole)) tally {
	var t tally
	if c.rare != nil {
		t = c.rare.tally
	}
	for i, next := range c.next {
		all := published(i)
		crossed := false
		if c.rare != nil {
			crossed = c.rare.crossed[i]
			for _, h := range c.rare.holes[i] {
				t.Lost += int(h.to - h.from)
				missing(i, h)
			}
		}
		switch {
		case next >= all:
		case crossed:
			t.InGaps += int(all - next)
		default:
			t.Lost += int(all - next)
			missing(i, hole{next, all})
		}
	}
	return t
}
