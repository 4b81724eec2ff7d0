package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// A poller reads the connections of all clients with one goroutine and one buffer,
// so that a client that waits costs nothing but its descriptor. Connections that are
// encrypted have a goroutine each.
type poller struct {
	run    *run
	epoll  int
	wake   [2]int // a pipe that ends the loop
	ended  chan struct{}
	others sync.WaitGroup // goroutines of encrypted connections
}

// stopMark is the number of an event of the pipe.
const stopMark = -1

// newPoller starts the loop. close ends it.
func newPoller(r *run) (*poller, error) {
	p := &poller{run: r, ended: make(chan struct{})}
	var err error
	if p.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err = syscall.Pipe2(p.wake[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err == nil {
		err = p.watch(p.wake[0], stopMark)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), syscall.Close(p.epoll))
	}
	go p.loop()
	return p, nil
}

// close ends the loop and waits for all goroutines. The connections are closed.
func (p *poller) close() {
	_ = syscall.Close(p.wake[1]) // the other end becomes readable
	<-p.ended
	p.others.Wait()
	_, _ = syscall.Close(p.wake[0]), syscall.Close(p.epoll)
}

// adopt reads what comes for s from now on. The run's mu is held.
func (p *poller) adopt(s *session, conn net.Conn) error {
	plain, ok := conn.(*net.TCPConn)
	if !ok {
		p.others.Go(func() { readAlone(s, conn) })
		s.conn = limited{conn}
		return nil
	}
	fd, err := detach(plain)
	if err != nil {
		return err
	}
	s.conn = descriptor(fd)
	return p.watch(fd, s.index)
}

func (p *poller) watch(fd, number int) error {
	return syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_ADD, fd,
		&syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(number)})
}

// detach takes the connection away from Go's own poller, which would be woken by
// everything that comes.
func detach(conn *net.TCPConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(from uintptr) {
		n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, from, syscall.F_DUPFD_CLOEXEC, 0)
		if fd = int(n); errno != 0 {
			failed = errno
		}
	})
	return fd, errors.Join(err, failed, conn.Close())
}

// A descriptor is a connection that the loop reads.
type descriptor int

// Write writes a few bytes, and does not wait: there is always room for them, unless
// the server reads nothing.
func (d descriptor) Write(p []byte) (int, error) {
	n, err := syscall.Write(int(d), p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// Close closes the connection; the loop forgets it.
func (d descriptor) Close() error { return syscall.Close(int(d)) }

func (p *poller) loop() {
	defer close(p.ended)
	events := make([]syscall.EpollEvent, 512)
	buf := make([]byte, 256<<10)
	for {
		time.Sleep(p.run.cfg.ReadPause)
		n, err := syscall.EpollWait(p.epoll, events, -1)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return // the descriptor is ours and good: this cannot happen
		}
		if !p.round(events[:max(n, 0)], buf) {
			return
		}
	}
}

// round reads once from each connection for which something has come. It reports
// whether the loop is to go on.
func (p *poller) round(events []syscall.EpollEvent, buf []byte) bool {
	r := p.run
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.settle()
	for _, e := range events {
		if e.Fd == stopMark {
			return false
		}
		s := &r.sessions[e.Fd]
		fd, ok := s.conn.(descriptor)
		if !ok {
			continue // it was closed in this round
		}
		n, err := syscall.Read(int(fd), buf)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err == nil {
			err = s.receive(buf[:n])
		}
		if err != nil {
			r.drop(s, err)
		}
	}
	return true
}

// sleepUntil returns at a time, to within some 0.1 ms; Go's own timers may be 1 ms
// late.
func sleepUntil(t time.Time) {
	const early = 2 * time.Millisecond
	if d := time.Until(t); d > early {
		time.Sleep(d - early)
	}
	if d := time.Until(t); d > 0 {
		ts := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&ts, nil) // a signal that ends it early does no harm
	}
}
