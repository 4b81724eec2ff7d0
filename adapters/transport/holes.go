package transport

import (
	"slices"

	"github.com/fanfarebus/fanfare/domain"
)

// maxStarts is how many publishers a subscription remembers the numbers of. Of
// one that was forgotten the next number counts as the first.
const maxStarts = 2048

// holes finds what is missing among numbered messages. It belongs to one
// subscription's reader.
//
// An interruption, which is told by itself, changes nothing here: whether what
// is missing then was lost in it or after it nobody can say, so it is told once
// more. To forget the numbers would hide what is lost right after it.
//
// Nothing is removed one by one: when there are half as many young ones as may
// be remembered, those that have not spoken since the last time are forgotten.
type holes struct {
	young, old map[startID]span
}

// A span is what was heard of one publisher: the numbers from first on, up to
// but without next, came or were missed and told so.
type span struct{ first, next uint64 }

// A finding is what a numbered message or mark tells.
type finding uint8

const (
	fine     finding = iota
	hole             // something before it is missing
	repeated         // it came before, or comes after it was said to be missing
)

// see notes a number, and for a mark that all up to it were published.
func (h *holes) see(s stamp, isMark bool) finding {
	seen, known := h.young[s.start]
	if !known {
		seen, known = h.old[s.start]
	}
	found := fine
	switch {
	case !known && isMark:
		seen = span{s.number + 1, s.number + 1}
	case !known:
		seen = span{s.number, s.number + 1}
	case s.number >= seen.next:
		if isMark || s.number > seen.next {
			found = hole
		}
		seen.next = s.number + 1
	case s.number >= seen.first && !isMark:
		found = repeated
	}
	// One from before the first that was heard is fine: nobody was told that it
	// is missing.
	h.remember(s.start, seen)
	return found
}

func (h *holes) remember(start startID, seen span) {
	if _, ok := h.young[start]; !ok && len(h.young) >= maxStarts/2 {
		h.old, h.young = h.young, nil
	}
	if h.young == nil {
		h.young = make(map[startID]span)
	}
	h.young[start] = seen
}

// mend takes the stamps off a batch, drops marks and what is repeated, and puts
// breaks where something is missing. It works in the batch's memory as long as
// there are no breaks.
func (s *subscription) mend(batch []domain.Entry) []domain.Entry {
	kept := batch[:0]
	for i := range batch {
		e := batch[i]
		number, rest, ok := stamp{}, []byte(nil), false
		if e.UUID == "" { // else the bus framed it, and the body is the publisher's own
			number, rest, ok = cutStamp(e.Body)
		}
		if !ok {
			kept = append(kept, e)
			continue
		}
		e.Body = rest
		isMark := string(rest) == "{"+markTail
		switch s.holes.see(number, isMark) {
		case repeated:
			s.t.counts.late.Add(1)
			continue
		case hole:
			s.t.counts.holes.Add(1)
			s.t.counts.countBreak(domain.Lossy)
			lost := domain.Entry{Kind: domain.Break, Log: s.log, Reason: domain.Lossy}
			kept = append(slices.Clone(kept), lost) // a copy: there is no room for one more in batch
		}
		if !isMark {
			kept = append(kept, e)
		}
	}
	return kept
}
