package sequence

import (
	"container/list"
	"time"
)

// maxPublishers is how many publishers' numbers a tracker remembers. Of one that
// was forgotten the next number counts as its first.
const maxPublishers = 2048

// A tracker finds what is missing among the numbered messages that one
// subscription reads.
//
// An interruption of the subscription is told as a gap by itself, and changes
// nothing here. Whether a number that is missing then was lost during the
// interruption or after it, nobody can say, so it is told as one more gap. To
// forget the numbers instead would hide what is lost right after it.
type tracker struct {
	publishers map[publisherID]*list.Element // those in recent and quiet

	// recent has a *publisher for each that was heard within recentFor, quiet one for
	// each of the others. In both the one that was heard last is at the back.
	recent, quiet list.List
	// recentDigest is the sum of the digests of recent; see fingerprinter.
	recentDigest uint64
}

// A publisher is what was heard of one publisher: all of its numbers from first
// up to but not including next have come, or were told missing.
type publisher struct {
	id          publisherID
	first, next uint64
	heardAt     time.Time // when it was last heard
	recent      bool      // it is in tracker.recent, not in tracker.quiet
}

// A verdict is what the number of a message or high-water mark tells.
type verdict uint8

const (
	inOrder  verdict = iota
	missing          // something before it is missing
	repeated         // it came before, or it comes after it was told missing
)

// check takes note of a number. A high-water mark's number says that all numbers up to it
// were published.
func (t *tracker) check(n number, isMark bool, now time.Time) verdict {
	e, known := t.publishers[n.publisher]
	if !known {
		first := n.n
		if isMark {
			first++ // the message of that number was not heard
		}
		t.add(&publisher{id: n.publisher, first: first, next: n.n + 1, heardAt: now})
		return inOrder
	}
	p := t.touch(e, now)
	switch {
	case n.n >= p.next:
		found := inOrder
		if isMark || n.n > p.next {
			found = missing
		}
		t.recentDigest -= p.digest()
		p.next = n.n + 1
		t.recentDigest += p.digest()
		return found
	case n.n >= p.first && !isMark:
		return repeated
	}
	// A number from before the first one that was heard is in order: nobody was
	// told that it is missing.
	return inOrder
}

// add remembers a publisher that is heard for the first time.
func (t *tracker) add(p *publisher) {
	if t.publishers == nil {
		t.publishers = make(map[publisherID]*list.Element)
	}
	if len(t.publishers) >= maxPublishers {
		t.evict()
	}
	t.pushRecent(p)
}

// touch notes that a publisher is heard now.
func (t *tracker) touch(e *list.Element, now time.Time) *publisher {
	p := e.Value.(*publisher)
	p.heardAt = now
	if p.recent {
		t.recent.MoveToBack(e)
		return p
	}
	t.pushRecent(t.unlink(e))
	return p
}

// pushRecent puts a publisher at the back of recent.
func (t *tracker) pushRecent(p *publisher) {
	p.recent = true
	t.publishers[p.id] = t.recent.PushBack(p)
	t.recentDigest += p.digest()
}

// unlink takes a publisher out of its list.
func (t *tracker) unlink(e *list.Element) *publisher {
	p := e.Value.(*publisher)
	if !p.recent {
		t.quiet.Remove(e)
		return p
	}
	t.recent.Remove(e)
	t.recentDigest -= p.digest()
	return p
}

// retire moves the publishers that were not heard within recentFor to quiet.
func (t *tracker) retire(now time.Time) {
	for e := t.recent.Front(); e != nil; e = t.recent.Front() {
		if now.Sub(e.Value.(*publisher).heardAt) <= recentFor {
			return
		}
		p := t.unlink(e)
		p.recent = false
		t.publishers[p.id] = t.quiet.PushBack(p)
	}
}

// evict forgets the publisher that was last heard the longest ago.
func (t *tracker) evict() {
	e := t.quiet.Front()
	if e == nil {
		e = t.recent.Front()
	}
	delete(t.publishers, t.unlink(e).id)
}
