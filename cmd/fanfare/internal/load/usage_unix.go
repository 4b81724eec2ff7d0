//go:build unix

package load

import (
	"fmt"
	"syscall"
	"time"
)

// ownCPU is the processor time that this process has taken.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// spareDescriptors are for what is not a connection of a client or a publisher, and
// for connections that are being opened, which have two for a moment.
const spareDescriptors = 2*dialing + 32

// checkDescriptors returns a fault if this process may not open so many connections.
func checkDescriptors(connections int) []error {
	var limit syscall.Rlimit
	needed := connections + spareDescriptors
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || uint64(limit.Cur) >= uint64(needed) {
		return nil
	}
	return []error{fmt.Errorf("--clients: %d connections need %d file descriptors, and this process may open %d: "+
		"raise the limit (ulimit -n), or want fewer", connections, needed, limit.Cur)}
}
