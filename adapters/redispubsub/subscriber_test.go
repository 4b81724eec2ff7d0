package redispubsub

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

var errBroken = errors.New("broken")

// A brokenConn takes nothing.
type brokenConn struct{ net.Conn }

func (brokenConn) Write([]byte) (int, error) { return 0, errBroken }

// A command that cannot be sent ends the connection. Nobody closed the driver, so
// that is not what the feeds are told.
func TestAConnectionOnWhichNothingCanBeSentIsNotClosedByUs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := &subscriber{conn: redisconn.NewConn(brokenConn{nc}, time.Second), reply: time.Second}
	over := make(chan error)
	go func() { over <- s.serve(nil) }()
	s.command("SUBSCRIBE", newSharedFeed("t"))
	if err := <-over; !errors.Is(err, errBroken) || errors.Is(err, domain.ErrClosed) {
		t.Errorf("the connection ended with: %v", err)
	}
}
