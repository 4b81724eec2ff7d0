// Package freeport hands out ports of 127.0.0.1 to the servers that tests and benchmarks
// start.
//
// A port that was found by listening on port 0 and closing the listener does not stay free:
// it is one of the system's ephemeral ports, so the next outgoing connection of any process
// may take it before the server listens, or while the server restarts. The ports of this
// package are not ephemeral, and no two callers have the same port at the same time, even in
// different processes. A server can stop and start on its port as often as the test likes.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
)

// The ports that may be handed out, besides the ephemeral ones among them. Below lowest are
// the usual ports of many services, which may start at any time.
const (
	lowest  = 10000
	highest = 65535
)

// attempts is how many ports are tried before the caller gets an error.
const attempts = 1000

// Port returns a port on which nobody listens. It is the test's until the test ends. A
// server that uses it must be stopped by a cleanup that is registered after this call, so
// that it runs before the port is released.
func Port(t testing.TB) int {
	t.Helper()
	port, release, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return port
}

// Address returns 127.0.0.1 with a port as [Port] returns it.
func Address(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", Port(t))
}

// Take is [Port] for callers without a test. The port is the caller's until it calls
// release or its process ends. Take is safe for concurrent use. Release may be called more
// than once, and need not be called.
func Take() (port int, release func(), err error) { return take(candidates()) }

// reservations holds this process's reservations by port. A socket that nobody refers to
// would be closed by the garbage collector.
var reservations sync.Map

// take hands out one of the given ports.
func take(ports []int) (port int, release func(), err error) {
	for range attempts {
		port = ports[rand.N(len(ports))]
		if release, err = reserve(port); err == nil {
			return port, release, nil
		}
	}
	return 0, nil, fmt.Errorf("freeport: no port is free: %w", err)
}

// reserve makes a port the caller's if nobody listens on it. The reservation is a UDP
// socket of the same number, which only one process can have, and which the system closes
// when the process ends, however it ends. It does not keep a server from listening on the
// TCP port.
func reserve(port int) (release func(), err error) {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	reservation, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		return nil, errors.Join(err, reservation.Close())
	}
	reservations.Store(port, reservation)
	return func() {
		if reservations.CompareAndDelete(port, reservation) {
			_ = reservation.Close()
		}
	}, nil
}

// candidates returns the ports that may be handed out.
var candidates = sync.OnceValue(func() []int {
	text, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range") // only Linux has it
	return outside(ephemeral(string(text)))
})

// ephemeral returns the first and the last port that the system takes for connections and
// for listeners on port 0. Its argument is what Linux says. Of a system that says nothing,
// it supposes the usual ranges of Linux, macOS and Windows together.
func ephemeral(text string) (first, last int) {
	if n, err := fmt.Sscan(strings.TrimSpace(text), &first, &last); err != nil || n != 2 || first > last {
		return 32768, highest
	}
	return first, last
}

// outside returns the ports that are not ephemeral. If all are, it returns all of them:
// then they are safe from other callers of this package, but not from connections.
func outside(first, last int) (ports []int) {
	for port := lowest; port <= highest; port++ {
		if port < first || port > last {
			ports = append(ports, port)
		}
	}
	if len(ports) == 0 {
		return outside(highest+1, highest+1)
	}
	return ports
}
