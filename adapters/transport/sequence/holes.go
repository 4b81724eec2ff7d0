package sequence

import (
	"container/list"
	"time"
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
type holes struct {
	known map[startID]*list.Element // of heard or quiet
	heard list.List                 // *spans of publishers heard lately, the latest at the back
	quiet list.List                 // those of the others, likewise
	sum   uint64                    // over heard: see surveyor
}

// A span is what was heard of one publisher: the numbers from first on, up to
// but without next, came or were missed and told so.
type span struct {
	start       startID
	first, next uint64
	at          time.Time // when it was heard last
	lately      bool      // it is in heard
}

// A finding is what a numbered message or mark tells.
type finding uint8

const (
	fine     finding = iota
	hole             // something before it is missing
	repeated         // it came before, or comes after it was said to be missing
)

// see notes a number, and for a mark that all up to it were published.
func (h *holes) see(s stamp, isMark bool, now time.Time) finding {
	e, known := h.known[s.start]
	if !known {
		first := s.number
		if isMark {
			first++
		}
		h.add(&span{start: s.start, first: first, next: s.number + 1, at: now})
		return fine
	}
	seen := h.hear(e, now)
	switch {
	case s.number >= seen.next:
		found := fine
		if isMark || s.number > seen.next {
			found = hole
		}
		h.sum -= seen.digest()
		seen.next = s.number + 1
		h.sum += seen.digest()
		return found
	case s.number >= seen.first && !isMark:
		return repeated
	}
	// One from before the first that was heard is fine: nobody was told that it
	// is missing.
	return fine
}

// add remembers a publisher that is heard for the first time.
func (h *holes) add(seen *span) {
	if h.known == nil {
		h.known = make(map[startID]*list.Element)
	}
	if len(h.known) >= maxStarts {
		h.forget()
	}
	h.enter(seen)
}

// enter puts a publisher at the back of heard.
func (h *holes) enter(seen *span) {
	seen.lately = true
	h.known[seen.start] = h.heard.PushBack(seen)
	h.sum += seen.digest()
}

// leave takes a publisher out of its list.
func (h *holes) leave(e *list.Element) *span {
	seen := e.Value.(*span)
	if !seen.lately {
		h.quiet.Remove(e)
		return seen
	}
	h.heard.Remove(e)
	h.sum -= seen.digest()
	return seen
}

// hear notes that a publisher was heard now.
func (h *holes) hear(e *list.Element, now time.Time) *span {
	seen := e.Value.(*span)
	seen.at = now
	if seen.lately {
		h.heard.MoveToBack(e)
		return seen
	}
	h.enter(h.leave(e))
	return seen
}

// age moves to quiet whoever was not heard lately.
func (h *holes) age(now time.Time) {
	for e := h.heard.Front(); e != nil && now.Sub(e.Value.(*span).at) > lately; e = h.heard.Front() {
		seen := h.leave(e)
		seen.lately = false
		h.known[seen.start] = h.quiet.PushBack(seen)
	}
}

// forget drops the publisher that was not heard for longest.
func (h *holes) forget() {
	e := h.quiet.Front()
	if e == nil {
		e = h.heard.Front()
	}
	delete(h.known, h.leave(e).start)
}
