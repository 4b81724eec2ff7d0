package stream

import "sync/atomic"

// A Budget is a number of bytes that the windows of a node share. When it is
// used up, a stream that receives an entry or is swept trims its own oldest
// entries, down to a share of 1/1024. So a busy system leaves something to the
// quiet ones, and a thousand of them use no more than twice the budget. It is
// safe for concurrent use.
type Budget struct {
	most int64
	used atomic.Int64
}

// NewBudget returns a Budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{most: bytes} }

// Used returns how many bytes are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) add(n int)     { b.used.Add(int64(n)) }
func (b *Budget) farOver() bool { return b.used.Load() > 2*b.most }

// over reports whether a stream that has mine bytes has to trim.
func (b *Budget) over(mine int) bool { return b.used.Load() > b.most && int64(mine) > b.most/1024 }
