package session

import (
	"net/netip"
	"testing"
	"time"
)

func TestAddressesThatFailAreBounded(t *testing.T) {
	f := newFailures(Rate{Messages: 0.1}, tokenTurns)
	now := time.Now()
	addr := netip.MustParseAddr("2001:db8::")
	for range 2 * maxFailures {
		f.count(addr, now)
		addr = addr.Next()
	}
	if len(f.seen) != maxFailures {
		t.Errorf("%d addresses are kept, want %d", len(f.seen), maxFailures)
	}
	f.sweep(now.Add(time.Hour))
	if len(f.seen) != 0 {
		t.Errorf("%d addresses are kept after an hour without failures", len(f.seen))
	}
}
