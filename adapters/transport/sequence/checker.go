package sequence

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Checker checks the numbers of what one subscription reads. It belongs to the
// subscription's reader.
type Checker struct {
	holes  holes
	survey surveyor
}

// NewChecker returns a Checker; ordered says that the bus has one order for all.
func NewChecker(ordered bool) Checker { return Checker{survey: surveyor{ordered: ordered}} }

// AfterGap says that a gap was told.
func (c *Checker) AfterGap() { c.survey.last = 0 }

// A Result is what a Checker makes of a batch.
type Result struct {
	Kept []domain.Entry
	// Holes is how often something was missing, and Late how many entries were
	// dropped because they came before, or after they were said to be missing.
	Holes, Late int
}

// Check takes the stamps off a batch, drops marks and what is repeated, and puts
// breaks where something is missing. It works in the batch's memory as long as
// there are no breaks.
func (c *Checker) Check(batch []domain.Entry, log domain.LogID) (r Result) {
	now := time.Now()
	c.holes.age(now)
	kept := batch[:0]
	for i := range batch {
		e := batch[i]
		number, rest, ok := stamp{}, []byte(nil), false
		if e.UUID == "" { // else the bus framed it, and the body is the publisher's own
			number, rest, ok = cutStamp(e.Body)
		}
		if !ok {
			e.Fingerprint = c.survey.foreign(&e)
			kept = append(kept, e)
			continue
		}
		e.Body = rest
		isMark := string(rest) == "{"+markTail
		switch c.holes.see(number, isMark, now) {
		case repeated:
			r.Late++
			continue
		case hole:
			r.Holes++
			lost := domain.Entry{Kind: domain.Gap, Log: log, Reason: domain.Lossy}
			kept = append(slices.Clone(kept), lost) // a copy: there is no room for one more in batch
		}
		if !isMark {
			e.Fingerprint = c.survey.stamped(number, c.holes.sum)
			kept = append(kept, e)
		}
	}
	r.Kept = kept
	return r
}
