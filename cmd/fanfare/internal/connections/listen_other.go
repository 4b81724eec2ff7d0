//go:build !linux

package connections

import "net"

// inherits is false where it is not certain that a connection has the options of the
// socket that it was accepted from.
const inherits = false

func inherit(*net.TCPListener, int) bool { return false }
