package api

import (
	"net/http"
	"sync"
)

// A budget bounds the memory that bodies of requests take, for all publishers together and
// for each API key; or that pages of histories take, likewise for askers. What counts is
// memory that was allocated for bytes that have come, not what a request announces. It is
// safe for concurrent use.
type budget struct {
	all, each int64 // most bytes, of all API keys and of one

	mu    sync.Mutex
	used  int64            // guarded by mu
	byKey map[string]int64 // of API keys with requests in flight; guarded by mu
}

func newBudget(all, each int64) *budget {
	return &budget{all: all, each: each, byKey: map[string]int64{}}
}

// inUse returns how many bytes are taken now.
func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// A claim is what one request has taken of a budget. Only the request's goroutine uses it.
type claim struct {
	from  *budget
	key   string
	bytes int64
}

func (b *budget) claim(key string) *claim { return &claim{from: b, key: key} }

// more takes n more bytes, or returns the answer why there are none.
func (c *claim) more(n int64) *Problem {
	b := c.from
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.byKey[c.key]+n > b.each:
		return problem(http.StatusTooManyRequests,
			"this API key has too many bytes in flight: publish less at a time").because("key_memory")
	case b.used+n > b.all:
		return problem(http.StatusServiceUnavailable,
			"this node has too many bytes of requests in flight: publish again later").
			because("node_memory")
	}
	b.used += n
	b.byKey[c.key] += n
	c.bytes += n
	return nil
}

// less gives n bytes back.
func (c *claim) less(n int64) {
	b := c.from
	b.mu.Lock()
	defer b.mu.Unlock()
	c.bytes -= n
	b.used -= n
	if b.byKey[c.key] -= n; b.byKey[c.key] == 0 {
		delete(b.byKey, c.key)
	}
}

// release gives everything back.
func (c *claim) release() { c.less(c.bytes) }
