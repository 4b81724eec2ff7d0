package control

import (
	"container/heap"
	"time"
)

// space reports whether a fact can be added. If there are too many, the oldest tombstone
// is forgotten for it.
func (t *facts) space() bool {
	if len(t.all) < t.most {
		return true
	}
	for len(t.tombs) > 0 {
		f := t.tombs[0]
		t.tombs[0] = nil
		t.tombs = t.tombs[1:]
		if f.tomb && !f.gone {
			t.remove(f)
			return true
		}
	}
	return false
}

// bury makes a fact a tombstone, or not.
func (t *facts) bury(f *fact, tomb bool) {
	if f.tomb == tomb {
		return
	}
	f.tomb = tomb
	if !tomb {
		t.tombN--
		return
	}
	t.tombN++
	if len(t.tombs) > 2*t.tombN+16 {
		t.tombs = onlyTombs(t.tombs)
	}
	t.tombs = append(t.tombs, f)
}

// onlyTombs drops what is no tombstone any more, and all but the first of those that are
// there twice.
func onlyTombs(all []*fact) []*fact {
	kept := make([]*fact, 0, len(all)/2)
	seen := make(map[*fact]bool, len(all)/2)
	for _, f := range all {
		if f.tomb && !f.gone && !seen[f] {
			seen[f] = true
			kept = append(kept, f)
		}
	}
	return kept
}

// expireStep is how many facts expire does something about at a time, so that it takes only
// some milliseconds. That a fact has ended is known before, see fact.holds.
const expireStep = 5000

// expire does what is due at a time: facts end, leave the digests, and are forgotten. It
// calls ended for those that were true until now. If there are very many it leaves some to
// the next call.
func (t *facts) expire(mono time.Duration, ended func(*fact)) {
	for done := 0; done < expireStep && len(t.ends) > 0 && t.ends[0].due() <= mono; done++ {
		t.settle(mono, t.ends[0], ended)
	}
}

// settle does what is due for one fact.
func (t *facts) settle(mono time.Duration, f *fact, ended func(*fact)) {
	if !f.tomb && f.end <= mono {
		ended(f)
	}
	if f.keep <= mono {
		t.remove(f)
		return
	}
	t.reset(mono, f, f.end, f.keep)
}

// due returns when something next becomes of a fact without anybody saying so.
func (f *fact) due() time.Duration {
	at := f.keep
	if f.counted {
		at -= lateMargin
	}
	if !f.tomb {
		at = min(at, f.end)
	}
	return at
}

// An endHeap has the fact first to which something happens first.
type endHeap []*fact

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, j int) bool { return h[i].due() < h[j].due() }
func (h endHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heap, h[j].heap = i, j
}

// Push is for package heap.
func (h *endHeap) Push(x any) {
	f, _ := x.(*fact)
	f.heap = len(*h)
	*h = append(*h, f)
}

// Pop is for package heap.
func (h *endHeap) Pop() any {
	last := len(*h) - 1
	f := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return f
}

func (h *endHeap) push(f *fact)   { heap.Push(h, f) }
func (h *endHeap) fix(f *fact)    { heap.Fix(h, f.heap) }
func (h *endHeap) remove(f *fact) { heap.Remove(h, f.heap) }
