package sequence

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Checker takes the numbers out of what one subscription reads, finds what is
// missing, and makes fingerprints. It belongs to the goroutine that reads.
type Checker struct {
	tracker      tracker
	fingerprints fingerprinter
}

// NewChecker returns a Checker. Ordered says that all readers of the bus see one
// order; only then there are fingerprints.
func NewChecker(ordered bool) *Checker {
	return &Checker{fingerprints: fingerprinter{ordered: ordered}}
}

// AfterGap tells the Checker that what comes next follows a gap: records without
// a number have no fingerprint until one with a number has come.
func (c *Checker) AfterGap() { c.fingerprints.last = 0 }

// A Result is what a [Checker] makes of a batch.
type Result struct {
	// Kept is the batch without high-water marks and without what was dropped, and with a Gap
	// wherever something is missing.
	Kept []domain.Entry
	// Missing is how many gaps there are in Kept.
	Missing int
	// Late is how many messages were dropped because they came before, or because
	// they came after they were told missing.
	Late int
}

// Check takes the numbers out of a batch that was read from a log, which is 0
// where the bus keeps none. It works in the batch's memory as long as nothing is
// missing.
func (c *Checker) Check(batch []domain.Entry, log domain.LogID) (r Result) {
	now := time.Now()
	c.tracker.retire(now)
	r.Kept = batch[:0]
	for i := range batch {
		e := batch[i]
		n, rest, ok := number{}, []byte(nil), false
		if e.UUID == "" { // else the bus framed it, and the body is the publisher's own
			n, rest, ok = cutNumber(e.Body)
		}
		if !ok {
			e.Fingerprint = c.fingerprints.ofUnnumbered(&e)
			r.Kept = append(r.Kept, e)
			continue
		}
		e.Body = rest
		isHighWaterMark := string(rest) == "{"+highWaterMarkTail
		switch c.tracker.check(n, isHighWaterMark, now) {
		case repeated:
			r.Late++
			continue
		case missing:
			r.Missing++
			gap := domain.Entry{Kind: domain.Gap, Log: log, Reason: domain.Lossy}
			r.Kept = append(slices.Clone(r.Kept), gap) // a copy: batch has no room for one more
		}
		if !isHighWaterMark {
			e.Fingerprint = c.fingerprints.ofNumbered(n, c.tracker.recentDigest)
			r.Kept = append(r.Kept, e)
		}
	}
	return r
}
