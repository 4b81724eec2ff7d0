package session

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failures bounds what wrong tokens of one address cost. An address that has
// shown too many of them is not shut out, since others may share it: its tokens
// are checked one at a time from then on, and wrong ones are answered with 429.
// It is safe for concurrent use, and holds at most maxFailures addresses.
type failures struct {
	rate Rate

	mu   sync.Mutex
	seen map[netip.Addr]*suspect // guarded by mu
}

const maxFailures = 10_000

// A suspect is an address that has shown wrong tokens.
type suspect struct {
	wrong   *rate.Limiter // its tokens are the failures that are left
	turn    chan struct{} // holds one value while a token of the address is checked
	waiting int           // for turn; guarded by failures.mu
}

// Bounds of those who wait for an address's turn.
const (
	maxWaiting  = 256 // with JWT, moments: a check takes some 10 to 100 µs
	longestTurn = time.Second
)

func newFailures(r Rate) *failures {
	return &failures{rate: r, seen: make(map[netip.Addr]*suspect)}
}

// enter waits until a token of the address may be checked, if it must wait at
// all, and returns what to call then. It is false if that takes too long.
func (f *failures) enter(
	ctx context.Context, a netip.Addr, now time.Time,
) (leave func(), ok bool) {
	s, full := f.queue(a, now)
	switch {
	case full:
		return nil, false
	case s == nil:
		return func() {}, true
	}
	defer f.unqueue(s)
	timer := time.NewTimer(longestTurn)
	defer timer.Stop()
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, false
}

// queue returns the suspect whose turn there is to wait for, nil if there is
// none. Full: too many are waiting.
func (f *failures) queue(a netip.Addr, now time.Time) (s *suspect, full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s = f.seen[a]; s == nil || s.wrong.TokensAt(now) >= 1 {
		return nil, false
	}
	if s.waiting >= maxWaiting {
		return nil, true
	}
	s.waiting++
	return s, false
}

func (f *failures) unqueue(s *suspect) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.waiting--
}

// note counts a wrong token, and says whether there were too many before.
func (f *failures) note(a netip.Addr, now time.Time) (tooMany bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.seen[a]
	if s == nil {
		if len(f.seen) >= maxFailures {
			f.forget()
		}
		s = &suspect{
			wrong: rate.NewLimiter(rate.Limit(f.rate.Messages), max(int(10*f.rate.Messages), 1)),
			turn:  make(chan struct{}, 1),
		}
		f.seen[a] = s
	}
	return !s.wrong.AllowN(now, 1)
}

// sweep drops the addresses that have behaved for a while.
func (f *failures) sweep(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for a, s := range f.seen {
		if s.wrong.TokensAt(now) >= float64(s.wrong.Burst()) {
			delete(f.seen, a)
		}
	}
}

// forget makes room for one address, whichever the map offers first.
func (f *failures) forget() {
	for a := range f.seen {
		delete(f.seen, a)
		return
	}
}
