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

// A brokenConn fails every write.
type brokenConn struct{ net.Conn }

func (c brokenConn) Write(b []byte) (int, error) {
	if _, err := c.Conn.Write(b); errors.Is(err, net.ErrClosed) {
		return 0, err
	}
	return 0, errBroken
}

// A command that cannot be sent ends the connection. The feeds are told that error, and
// not domain.ErrClosed, because nobody has closed the driver.
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
	s := &subscriber{conn: redisconn.NewConn(brokenConn{nc}, time.Second), replyTimeout: time.Second}
	s.send("SUBSCRIBE", newSharedFeed("t"))
	s.send("SUBSCRIBE", newSharedFeed("u"))
	if err := s.serve(nil); !errors.Is(err, errBroken) || errors.Is(err, domain.ErrClosed) {
		t.Errorf("the connection ended with: %v", err)
	}
}
