//go:build !linux

package load

import (
	"net"
	"sync"
	"time"
)

// A poller reads each connection with a goroutine of its own.
type poller struct{ all sync.WaitGroup }

func newPoller(*run) (*poller, error) { return &poller{}, nil }

// close waits for all goroutines. The connections are closed.
func (p *poller) close() { p.all.Wait() }

// adopt reads what comes for s from now on. The run's mu is held.
func (p *poller) adopt(s *session, conn net.Conn) error {
	s.conn = limited{conn}
	p.all.Go(func() { readAlone(s, conn) })
	return nil
}

func sleepUntil(t time.Time) { time.Sleep(time.Until(t)) }
