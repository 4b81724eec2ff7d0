package connections_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/connections"
)

// unlisted hides what kind of listener it is.
type unlisted struct{ net.Listener }

// Connections have bounded buffers and keep-alives, as if they were set for each.
func TestConnectionsHaveTheOptionsOfTheirListener(t *testing.T) {
	const bytes = 96 << 10
	ordinary, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ordinary.Close()
	want := options(t, ordinary)
	want[syscall.SO_RCVBUF], want[syscall.SO_SNDBUF] = 2*bytes, 2*bytes // the system counts its own part, too
	for name, wrap := range map[string]func(net.Listener) net.Listener{
		"a TCP listener":   func(l net.Listener) net.Listener { return l },
		"another listener": func(l net.Listener) net.Listener { return unlisted{l} },
	} {
		l, err := connections.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		got := options(t, connections.Bound(wrap(l), bytes))
		for option, value := range want {
			if got[option] != value {
				t.Errorf("%s: option %d is %d, want %d", name, option, got[option], value)
			}
		}
		if got[syscall.SO_KEEPALIVE] != 1 {
			t.Errorf("%s: no keep-alives", name)
		}
	}
}

// options returns the options of a connection that l accepts. The keys of the options of
// TCP are negative.
func options(t *testing.T, l net.Listener) map[int]int {
	t.Helper()
	dial(t, l.Addr().String())
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[int]int)
	err = raw.Control(func(fd uintptr) {
		for _, name := range []int{syscall.SO_RCVBUF, syscall.SO_SNDBUF, syscall.SO_KEEPALIVE} {
			all[name], _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, name)
		}
		for _, name := range []int{syscall.TCP_KEEPIDLE, syscall.TCP_KEEPINTVL, syscall.TCP_KEEPCNT, syscall.TCP_NODELAY} {
			all[-name], _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, name)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
