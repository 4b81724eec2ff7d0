package connections

import (
	"net"
	"syscall"
)

// inherits says that a connection has the options of the socket that it was accepted
// from. So they need not be set for each, which takes six system calls.
const inherits = true

// What net sets for each connection if nothing else is said (net.KeepAliveConfig).
const (
	keepAliveSeconds = 15
	keepAliveProbes  = 9
)

// inherit sets the options of all connections that l will accept. If it returns false,
// they have to be set for each.
func inherit(l *net.TCPListener, bytes int) bool {
	raw, err := l.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for _, o := range [...]struct{ level, name, value int }{
			{syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes},
			{syscall.SOL_SOCKET, syscall.SO_SNDBUF, bytes},
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, keepAliveSeconds},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, keepAliveSeconds},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveProbes},
		} {
			if failed == nil {
				failed = syscall.SetsockoptInt(int(fd), o.level, o.name, o.value)
			}
		}
	})
	return err == nil && failed == nil
}
