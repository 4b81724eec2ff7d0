package stream

import (
	"sync"
	"time"
)

// An Asker is on whose behalf a log is read again. The zero Asker is nobody in
// particular, for whom there is no limit.
type Asker struct {
	User    string
	Address string // where the session comes from; "" if that is not known
}

// Reads keep account of how much was read again of the logs, and for whom.
// Askers that have caused less reading come first, and those that have caused
// too much are refused for a while. The streams of a node share one. It is safe for
// concurrent use.
type Reads struct {
	burst float64 // entries that may be read for one user at once
	rate  float64 // entries a second, in the long run
	now   func() time.Time

	mu    sync.Mutex
	debts map[debtor]debt // of those who have not paid off theirs; guarded by mu
}

// A debtor is a user or an address.
type debtor struct {
	name    string
	address bool
}

// A debt is how many entries were read for a debtor. It is paid off as time
// goes by.
type debt struct {
	entries float64
	at      time.Time // when entries was right
}

const (
	// readBurst is how many turns of Config.MaxScan entries may be for one user at
	// once: enough to come back to several busy systems after some minutes.
	readBurst = 16
	// readPause is how long it takes to pay off one turn.
	readPause = time.Minute
	// addressShare is how many users' worth of reading one address may cause.
	addressShare = 4
	// maxDebts bounds how many debtors are remembered.
	maxDebts = 1 << 16
)

// NewReads returns an account for streams that read up to maxScan entries in one
// turn.
func NewReads(maxScan int, now func() time.Time) *Reads {
	return &Reads{
		burst: readBurst * float64(maxScan), rate: float64(maxScan) / readPause.Seconds(),
		now: now, debts: make(map[debtor]debt),
	}
}

// Over reports whether as much was read for the asker as may be for now.
func (r *Reads) Over(who Asker) bool { return who != Asker{} && r.Weight(who) >= r.burst }

// Weight returns how much was read for the asker and is not paid off. The asker
// with the least comes first.
func (r *Reads) Weight(who Asker) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.debts) == 0 {
		return 0
	}
	now := r.now()
	w := 0.0
	for _, d := range who.debtors() {
		w = max(w, r.unpaid(r.debts[d], now))
	}
	return w
}

// Charge adds the number of entries that were read to the asker's debts.
func (r *Reads) Charge(who Asker, entries int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for _, d := range who.debtors() {
		n := float64(entries)
		if d.address {
			n /= addressShare
		}
		if _, known := r.debts[d]; !known && len(r.debts) >= maxDebts {
			r.makeRoom(now)
		}
		r.debts[d] = debt{r.unpaid(r.debts[d], now) + n, now}
	}
}

// unpaid is what of a debt is not paid off. A debt never exceeds twice the burst.
func (r *Reads) unpaid(d debt, now time.Time) float64 {
	return min(2*r.burst, max(0, d.entries-r.rate*max(0, now.Sub(d.at).Seconds())))
}

// makeRoom forgets debtors that have paid off, or else any.
func (r *Reads) makeRoom(now time.Time) {
	for who, d := range r.debts {
		if r.unpaid(d, now) == 0 {
			delete(r.debts, who)
		}
	}
	for who := range r.debts {
		if len(r.debts) < maxDebts {
			return
		}
		delete(r.debts, who)
	}
}

func (who Asker) debtors() []debtor {
	all := make([]debtor, 0, 2)
	if who.User != "" {
		all = append(all, debtor{name: who.User})
	}
	if who.Address != "" {
		all = append(all, debtor{name: who.Address, address: true})
	}
	return all
}

// NextReader says for whom the log is to be read next, by [Stream.NextBackfill]
// or [Stream.NextLookup], and with which weight: a reader of many logs takes the
// one with the smallest weight first. Sessions of a barred user do not count;
// barred must not call the Stream. Not wanted means that nothing is to be read.
func (s *Stream) NextReader(barred func(user string) bool) (who Asker, weight float64, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.bus.confirmed {
		return Asker{}, 0, false
	}
	first, weight := s.lightestReader(barred)
	if a, w := s.cfg.Reads.lightest(s.backlog.unlocated, barred); a != nil && (first == nil || w < weight) {
		first, weight = a, w
	}
	if first == nil {
		return Asker{}, 0, false
	}
	return first.asker, weight, true
}

// lightest returns the session whose turn it is, and its weight: the first of
// those with the smallest weight that are not barred; nil if there is none.
func (r *Reads) lightest(
	waiting []*Attachment, barred func(user string) bool,
) (first *Attachment, least float64) {
	for _, a := range waiting {
		if barred(a.asker.User) {
			continue
		}
		if w := r.Weight(a.asker); first == nil || w < least {
			first, least = a, w
		}
		if least == 0 {
			break
		}
	}
	return first, least
}

func nobody(string) bool { return false }
