package freeport

import (
	"net"
	"strconv"
	"testing"
)

// A port is handed out when nobody listens on it and nobody else has it.
func TestAPortIsOnesOwn(t *testing.T) {
	port := Port(t)
	only := []int{port}
	if _, _, err := take(only); err == nil {
		t.Error("a port that is ours was handed out again")
	}

	other, release, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	only = []int{other}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(other)))
	if err != nil {
		t.Fatalf("no server can listen on the port: %v", err)
	}
	release()
	release()
	if _, _, err := take(only); err == nil {
		t.Error("a port on which a server listens was handed out")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, release, err := take(only)
	if err != nil || again != other {
		t.Fatalf("a port that was released is not handed out: %v", err)
	}
	release()
}

// The ports are outside of the system's range, and only where that is impossible inside.
func TestPortsAreOutsideOfTheRange(t *testing.T) {
	for _, test := range []struct {
		said        string
		count       int
		first, last int // of the ports
	}{
		{"32768\t60999\n", 22768 + 4536, 10000, 65535},
		{"15000 64000\n", 5000 + 1535, 10000, 65535},
		{"1024 49151", 16384, 49152, 65535},
		{"1024 65534", 1, 65535, 65535},
		{"1024 65535", 55536, 10000, 65535}, // all are in the range
		{"", 22768, 10000, 32767},           // the system says nothing
		{"60999 32768", 22768, 10000, 32767},
		{"many", 22768, 10000, 32767},
	} {
		ports := outside(ephemeral(test.said))
		if n := len(ports); n != test.count || ports[0] != test.first || ports[n-1] != test.last {
			t.Errorf("%q: %d ports from %d to %d", test.said, n, ports[0], ports[n-1])
		}
	}
}
