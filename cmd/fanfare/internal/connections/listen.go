package connections

import (
	"context"
	"net"

	"github.com/fanfarebus/fanfare"
)

// Listen listens on a TCP address. Where a listener passes its options on to its
// connections, [Bound] has to set the keep-alives, too.
func Listen(address string) (net.Listener, error) {
	var config net.ListenConfig
	if inherits {
		config.KeepAlive = -1
	}
	return config.Listen(context.Background(), "tcp", address)
}

// Bound returns a listener whose connections have at most that number of bytes in the
// operating system's buffers, each way. Otherwise the system lets a client that
// sends requests and reads no answers grow them to megabytes. Dead peers are noticed by
// keep-alives, as usual in Go.
func Bound(l net.Listener, bytes fanfare.Size) net.Listener {
	if tcp, ok := l.(*net.TCPListener); ok && inherit(tcp, int(bytes)) {
		return l
	}
	return &bounded{l, int(bytes)}
}

type bounded struct {
	net.Listener
	bytes int
}

// Accept returns the next connection. If its options cannot be set, they stay as
// the system has made them.
func (b *bounded) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(b.bytes)
		_ = tcp.SetWriteBuffer(b.bytes)
		if inherits {
			_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true})
		}
	}
	return c, err
}
