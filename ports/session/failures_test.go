package session

import (
	"net/http"
	"net/netip"
	"testing"
	"time"
)

func TestAddressesThatFailAreBounded(t *testing.T) {
	f := newFailures(Rate{Messages: 0.1})
	now := time.Now()
	addr := netip.MustParseAddr("2001:db8::")
	for range 2 * maxFailures {
		f.note(addr, now)
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

func TestPeerIsTheNearestAddressThatIsNoProxy(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, test := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:99", nil, "192.0.2.1"},
		{"192.0.2.1:99", []string{"198.51.100.7"}, "192.0.2.1"}, // not from a proxy: not believed
		{"10.1.1.1:99", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.1.1.1:99", []string{"1.2.3.4, 198.51.100.7", "10.2.2.2"}, "198.51.100.7"},
		{"[::1]:99", []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::"},
		{"10.1.1.1:99", nil, "10.1.1.1"},
		{"10.1.1.1:99", []string{"rubbish"}, "10.1.1.1"},
		{"[::ffff:192.0.2.1]:99", nil, "192.0.2.1"},
	} {
		r := &http.Request{RemoteAddr: test.remote, Header: http.Header{"X-Forwarded-For": test.forwarded}}
		if got := peer(r, proxies); got.String() != test.want {
			t.Errorf("%s %v: got %v, want %s", test.remote, test.forwarded, got, test.want)
		}
	}
	if got := peer(&http.Request{RemoteAddr: "pipe"}, nil); got.IsValid() {
		t.Errorf("got %v of no address", got)
	}
}
