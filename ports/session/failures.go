package session

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failures bounds what wrong tokens, or wrong logins, of one address cost. An address that
// has shown too many is not shut out, since others may share it: from then on only so many
// of its tokens are checked at a time, and wrong ones are answered with 429. It is safe for
// concurrent use, and remembers at most maxFailures addresses. A nil one counts nothing.
type failures struct {
	rate  Rate
	turns int // how many tokens of a suspect are checked at a time

	mu   sync.Mutex
	seen map[netip.Addr]*suspect // guarded by mu
}

const maxFailures = 10_000

// A suspect is an address that has shown wrong tokens.
type suspect struct {
	wrong   *rate.Limiter // how many more wrong tokens it may show
	turn    chan struct{} // holds a value for each token of the address that is checked
	waiting int           // requests that wait for turn; guarded by failures.mu
}

// Bounds of the requests that wait for an address's turn. To check a JWT takes 10 to
// 100 µs, so 256 of them wait for some milliseconds.
const (
	maxWaiting  = 256
	longestWait = time.Second
)

// How many credentials of a suspect are checked at a time. A login may have to ask another
// server, and so take a thousand times as long as a token: one at a time would shut out
// everybody else at the address.
const (
	tokenTurns = 1
	loginTurns = 16
)

func newFailures(r Rate, turns int) *failures {
	return &failures{rate: r, turns: turns, seen: make(map[netip.Addr]*suspect)}
}

// enter waits, if it has to, until a token of the address may be checked. It returns
// the function to call when the token has been checked, and whether it is a suspect's turn;
// or false if the wait would be too long.
func (f *failures) enter(
	ctx context.Context, a netip.Addr, now time.Time,
) (leave func(), suspected, ok bool) {
	if f == nil {
		return func() {}, false, true
	}
	s, full := f.queue(a, now)
	switch {
	case full:
		return nil, true, false
	case s == nil:
		return func() {}, false, true
	}
	defer f.unqueue(s)
	timer := time.NewTimer(longestWait)
	defer timer.Stop()
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, true, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, true, false
}

// queue returns the suspect for whose turn the caller has to wait, and counts it as
// waiting. It returns nil if there is nothing to wait for, and full if too many wait
// already.
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

// count counts a wrong token, and reports whether the address had shown too many
// before it.
func (f *failures) count(a netip.Addr, now time.Time) (tooMany bool) {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.seen[a]
	if s == nil {
		if len(f.seen) >= maxFailures {
			f.forgetOne()
		}
		s = &suspect{
			wrong: rate.NewLimiter(rate.Limit(f.rate.Messages), max(int(10*f.rate.Messages), 1)),
			turn:  make(chan struct{}, f.turns),
		}
		f.seen[a] = s
	}
	return !s.wrong.AllowN(now, 1)
}

// sweep forgets the addresses that have shown no wrong token for long enough.
func (f *failures) sweep(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for a, s := range f.seen {
		if s.wrong.TokensAt(now) >= float64(s.wrong.Burst()) {
			delete(f.seen, a)
		}
	}
}

// forgetOne makes room for an address. It forgets whichever one the map yields first.
func (f *failures) forgetOne() {
	for a := range f.seen {
		delete(f.seen, a)
		return
	}
}
