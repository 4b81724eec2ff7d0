package history

import (
	"encoding/binary"

	"github.com/fanfarebus/fanfare/domain"
)

// Each message has two links for each of its targets: how far back the previous
// entry for that target is, and how far ahead the next one is. So the entries
// for a target are a chain, of which the index knows the newest. A link is 0
// where there is no such entry. Where a message has a target twice, the first
// counts.
type links []byte

const linksSize = 8

func (l links) previous() uint64     { return uint64(binary.LittleEndian.Uint32(l)) }
func (l links) next() uint64         { return uint64(binary.LittleEndian.Uint32(l[4:])) }
func (l links) setPrevious(d uint64) { binary.LittleEndian.PutUint32(l, uint32(d)) }
func (l links) setNext(d uint64)     { binary.LittleEndian.PutUint32(l[4:], uint32(d)) }

// link makes entry n, a message and the newest, the end of its targets' chains.
func (w *window) link(n uint64) {
	e := w.at(n)
	count, each := e.targets().each()
	for range count {
		place := each.at
		target, mine := each.target()
		if count > 1 {
			if _, first, _ := e.targets().find(target, &w.index); first != place {
				continue // the message has the target twice
			}
		}
		if last, theirs := w.index.put(target, n, w); last != 0 {
			mine.setPrevious(n - last)
			theirs.setNext(n - last)
		}
	}
}

// patience is how many steps NextFor walks back along a chain before it also looks
// at the entries from n on. Most sessions have missed fewer.
const patience = 64

// NextFor returns the first entry for the target that is entry n or a later one.
//
// It begins at the entry *near or at the newest one, whichever is nearer to n,
// and leaves in *near where it has come to. So *near makes it fast when it is
// asked again, and has no other meaning: any number is good, and 0 is none.
//
// A long chain is walked from its end and entries are looked at from n on, in
// turn: where many entries are for the target, one of them is soon found near n.
func (h *History) NextFor(t domain.Target, n uint64, near *uint64) (k uint64, found bool) {
	w, target := &h.window, t.String()
	n = max(n, w.start)
	k, l := w.enterChain(target, n, *near)
	if k == 0 {
		return 0, false
	}
	for steps := 0; k > n && l.previous() > 0 && k-l.previous() >= n; steps++ {
		if steps >= patience {
			ahead := n + uint64(steps-patience)
			if is, _, ok := w.find(ahead, target); ok {
				k, l = ahead, is
				break
			}
		}
		k -= l.previous()
		l, _, _ = w.find(k, target)
	}
	for k < n && l.next() > 0 {
		if k += l.next(); k < n {
			l, _, _ = w.find(k, target)
		}
	}
	*near = k
	return k, k >= n
}

// enterChain returns an entry for the target near entry n, and its links there;
// 0 if there is none.
func (w *window) enterChain(target string, n, near uint64) (uint64, links) {
	if w.has(near) && distance(near, n) <= w.refs.end-n+1 { // 1 more, as near is often the one before n
		if l, _, ok := w.find(near, target); ok {
			return near, l
		}
	}
	return w.index.newest(target, w)
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// PlaceOf returns whether entry n is for the target, and a number that is lower
// for earlier targets of the entry.
func (h *History) PlaceOf(t domain.Target, n uint64) (place int, found bool) {
	_, place, found = h.window.find(n, t.String())
	return place, found
}
