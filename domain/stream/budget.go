package stream

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// A Budget is a number of bytes that the windows of a node share. When it is
// used up, a stream that receives an entry or is swept trims its own oldest
// entries, down to a share of 1/1024. So a busy system leaves something to the
// quiet ones, and a thousand of them use no more than twice the budget. It is
// safe for concurrent use.
type Budget struct {
	most int64
	used atomic.Int64

	mu      sync.Mutex
	holders map[*Stream]struct{} // streams with a backlog; guarded by mu
}

// NewBudget returns a Budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{most: bytes} }

// Used returns how many bytes are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) add(n int)     { b.used.Add(int64(n)) }
func (b *Budget) farOver() bool { return b.used.Load() > 2*b.most }

// over reports whether a stream that has mine bytes has to trim.
func (b *Budget) over(mine int) bool { return b.overWith(mine, 0) }

// overWith reports what over would say if more bytes were taken.
func (b *Budget) overWith(mine, more int) bool {
	return b.used.Load()+int64(more) > b.most && int64(mine+more) > b.most/1024
}

// hold notes whether a stream keeps a backlog, which it can give back.
func (b *Budget) hold(s *Stream, keeps bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !keeps {
		delete(b.holders, s)
		return
	}
	if b.holders == nil {
		b.holders = make(map[*Stream]struct{})
	}
	b.holders[s] = struct{}{}
}

// reclaim asks the other streams to give back their backlogs, on behalf of an
// asker of the given weight, see Reads.weight. It must be called without locks.
func (b *Budget) reclaim(mine *Stream, weight float64) {
	b.mu.Lock()
	others := slices.Collect(maps.Keys(b.holders))
	b.mu.Unlock()
	for _, s := range others {
		if s != mine {
			s.giveBack(weight)
		}
	}
}
