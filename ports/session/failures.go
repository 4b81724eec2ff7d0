package session

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failures bounds how often one address may be refused. It is safe for
// concurrent use, and holds at most maxFailures addresses.
type failures struct {
	rate Rate

	mu   sync.Mutex
	seen map[netip.Addr]*rate.Limiter // guarded by mu
}

const maxFailures = 10_000

func newFailures(r Rate) *failures {
	return &failures{rate: r, seen: make(map[netip.Addr]*rate.Limiter)}
}

// tooMany says whether the address has failed too often to be heard now.
func (f *failures) tooMany(a netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.seen[a]
	return l != nil && l.TokensAt(now) < 1
}

// note counts a failure.
func (f *failures) note(a netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.seen[a]
	if l == nil {
		if len(f.seen) >= maxFailures {
			f.forget()
		}
		l = rate.NewLimiter(rate.Limit(f.rate.Messages), max(int(10*f.rate.Messages), 1))
		f.seen[a] = l
	}
	l.AllowN(now, 1)
}

// sweep drops the addresses that have behaved for a while.
func (f *failures) sweep(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for a, l := range f.seen {
		if l.TokensAt(now) >= float64(l.Burst()) {
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

// peer returns the address of the client: the connection's, or the nearest in
// X-Forwarded-For that is no proxy of ours, if the connection is from one. IPv6
// counts by /64.
func peer(r *http.Request, proxies []netip.Prefix) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := at.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && contains(proxies, addr); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap()
	}
	if addr.Is6() {
		network, _ := addr.WithZone("").Prefix(64) // 64 bits fit
		return network.Addr()
	}
	return addr
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
