package sse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/sse"
)

// pipes is a listener whose connections are net.Pipes. A write to one ends when it was
// read, and deadlines go by the test's clock.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

type pipedNode struct {
	*node
	pipes *pipes
	ends  []net.Conn
}

// inBubble runs a test in a synctest bubble, with a node on pipes.
func inBubble(t *testing.T, cfg config, test func(t *testing.T, n *pipedNode)) {
	synctest.Test(t, func(t *testing.T) {
		n := &pipedNode{node: newNode(t, cfg), pipes: &pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
		server := &http.Server{Handler: n.server, ReadTimeout: 5 * time.Second}
		go func() { _ = server.Serve(n.pipes) }()
		test(t, n)
		n.stop()
		for _, c := range n.ends {
			_ = c.Close()
		}
		<-n.stopped
		_ = server.Close()
	})
}

func (n *pipedNode) connect(token, query string) *source {
	n.t.Helper()
	here, there := net.Pipe()
	n.ends = append(n.ends, here)
	n.pipes.conns <- there
	if _, err := fmt.Fprintf(here, "GET /sse?%s HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer %s\r\n\r\n", query, token); err != nil {
		n.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(here, 16), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		n.t.Fatalf("%v %v", resp, err)
	}
	return &source{t: n.t, resp: resp, lines: bufio.NewReaderSize(resp.Body, 16), cancel: func() { _ = here.Close() }}
}

// hello connects and reads the first event, in a bubble.
func (n *pipedNode) hello(token, query string) *source {
	n.t.Helper()
	s := n.connect(token, query)
	if data, err := s.read(); err != nil || !strings.HasPrefix(data, `{"op":"hello"`) {
		n.t.Fatalf("want hello, got %s %v", data, err)
	}
	return s
}

// until reads until an event with the prefix comes.
func (s *source) until(prefix string) time.Time {
	s.t.Helper()
	for {
		data, err := s.read()
		if err != nil {
			s.t.Fatalf("want %s…, got error %v", prefix, err)
		}
		if strings.HasPrefix(data, prefix) {
			return time.Now()
		}
	}
}

// rest reads until the stream ends, and returns the last event.
func (s *source) rest() (last string, err error) {
	for {
		data, err := s.read()
		if err != nil {
			return last, err
		}
		last = data
	}
}

// pauseFor lets time pass on the test's clock.
func pauseFor(d time.Duration) { <-time.After(d) }

func TestSessionEndsWithItsToken(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		start := time.Now()
		s := n.hello("alice/ttl=90s", "systems=orders")
		if d := s.until(`{"op":"close","code":4001,"reason":"the token has expired"}`).Sub(start); d < 90*time.Second || d > 92*time.Second {
			t.Errorf("it took %v", d)
		}
		if strings.Contains(s.id, "!") {
			t.Error("a client whose cookie was refreshed meanwhile could not come back")
		}
		s.wantsEnd()
	})
}

func TestSilenceIsFilledWithHeartbeats(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		s := n.hello("alice", "systems=orders")
		go func() { pauseFor(10*time.Minute + time.Second); n.deliver("user:alice", "orders", `1`) }()
		s.until(`{"op":"message"`)
		if s.heard != 40 {
			t.Errorf("%d heartbeats in ten minutes, want 40", s.heard)
		}
	})
}

func TestIdOfASessionThatHearsNothingMovesOn(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		s := n.hello("alice", "systems=orders,chat")
		before := s.id
		go func() {
			n.deliver("user:bob", "orders", `1`)
			pauseFor(27 * time.Second)
			n.registry.SetBusUp(false)
		}()
		s.until(`{"op":"bus"`) // nothing else was dispatched
		if s.id == before {
			t.Error("the id has not moved in 27 s")
		}
		if _, chat, _ := strings.Cut(before, ",chat:"); !strings.HasSuffix(s.id, chat) {
			t.Errorf("the place in the other system has: %q, then %q", before, s.id)
		}
		moved := s.id
		go func() { pauseFor(27 * time.Second); n.registry.SetBusUp(true) }()
		if s.until(`{"op":"bus"`); s.id != moved {
			t.Error("the id moved though nothing did")
		}
	})
}

func TestClientsThatKeepNoIDsAreSentCursorOps(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		s := n.hello("alice", "systems=orders&cursors=1")
		start, before := time.Now(), s.id
		n.deliver("user:bob", "orders", `1`)
		if d := s.until(`{"op":"cursor","system":"orders","cursor":"`).Sub(start); d > 26*time.Second {
			t.Errorf("it took %v", d)
		}
		if s.id == before {
			t.Error("the id has not moved with it")
		}
	})
}

func TestWhatGathersDuringAWriteLeavesTogether(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		s := n.hello("alice", "systems=orders")
		synctest.Wait()
		before := n.server.Stats()
		for i := range 10 {
			n.deliver("*", "orders", fmt.Sprint(i))
		}
		for i := range 10 {
			s.wantsData(fmt.Sprint(i))
		}
		synctest.Wait()
		after := n.server.Stats()
		if writes := after.WritesOut - before.WritesOut; writes > 2 || after.FramesOut-before.FramesOut != 10 {
			t.Errorf("%d writes of %d events, want at most 2 of 10", writes, after.FramesOut-before.FramesOut)
		}
	})
}

func TestClientThatStopsReadingIsClosedAndItsNeighbourIsNot(t *testing.T) {
	inBubble(t, config{sse: sse.Config{OutboxFrames: 8}}, func(t *testing.T, n *pipedNode) {
		n.hello("alice", "systems=orders") // and reads nothing more
		fine := n.hello("alice", "systems=orders")
		synctest.Wait() // hello is written, or its write is stuck
		start := time.Now()
		for i := range 1000 {
			n.deliver("user:alice", "orders", fmt.Sprint(i))
			fine.wantsData(fmt.Sprint(i))
		}
		if n.server.Stats().FellBack != 0 {
			t.Error("the neighbour's outbox filled, too")
		}
		go func() { _, _ = fine.rest() }()
		poll(t, func() bool { pauseFor(time.Second); return n.registry.Stats().Sessions == 1 })
		if d := time.Since(start); d < 17*time.Second || d > 22*time.Second {
			t.Errorf("it took %v", d)
		}
		if s := n.registry.Stats(); s.Closed[session.CloseSlow] != 1 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestSlowReaderThatMakesProgressIsNotClosed(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		s := n.hello("alice", "systems=orders")
		big := `"` + strings.Repeat("x", 200_000) + `"`
		n.deliver("user:alice", "orders", big)
		n.deliver("user:alice", "orders", `"then"`)
		for range 6 { // 32 KiB each: the whole event takes much longer than a stall
			pauseFor(8 * time.Second)
			if n, err := s.lines.Discard(32 << 10); err != nil {
				t.Errorf("cut off after %d bytes: %v", n, err)
				return
			}
		}
		if n.registry.Stats().Sessions != 1 {
			t.Errorf("stats: %+v", n.registry.Stats())
		}
	})
}

func TestSlowReaderCatchesUpWithoutLoss(t *testing.T) {
	inBubble(t, config{sse: sse.Config{OutboxFrames: 4, OutboxBytes: 2000}}, func(t *testing.T, n *pipedNode) {
		s := n.hello("alice", "systems=orders")
		for i := range 500 {
			n.deliver("user:alice", "orders", fmt.Sprint(i))
		}
		for i := range 500 {
			s.wantsData(fmt.Sprint(i))
		}
		n.deliver("user:alice", "orders", `"live"`)
		s.wantsData(`"live"`)
		if st := n.server.Stats(); st.FellBack < 50 || st.Dropped != 0 {
			t.Errorf("stats: %+v", st)
		}
	})
}

func TestFloodOfNoticesToAClientThatDoesNotReadEndsIt(t *testing.T) {
	inBubble(t, config{sse: sse.Config{OutboxFrames: 8}}, func(t *testing.T, n *pipedNode) {
		n.hello("alice", "systems=orders")
		synctest.Wait()
		for i := range 1000 {
			n.registry.SetBusUp(i%2 == 1)
		}
		poll(t, func() bool { pauseFor(time.Second); return n.registry.Stats().Sessions == 0 })
		if s, d := n.server.Stats(), n.registry.Stats(); d.Closed[session.CloseSlow] != 1 || s.Dropped != 1 {
			t.Errorf("stats: %+v %+v", s, d)
		}
	})
}

// Each session is asked to go at a turn of its own, works on until its grace is over, and
// ends then.
func TestDrainIsPaced(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		const sessions = 40
		type end struct {
			asked, at time.Time
			last      string
			retry     int
		}
		ends := make(chan end, sessions)
		for i := range sessions {
			s := n.hello(fmt.Sprint("user", i), "systems=orders")
			go func() {
				asked := s.until(`{"op":"goaway","retry_ms":`)
				n.deliver("user:"+fmt.Sprint("user", i), "orders", `"still here"`)
				s.wantsData(`"still here"`)
				last, _ := s.rest()
				ends <- end{asked, time.Now(), last, s.retry}
			}()
		}
		start := time.Now()
		if err := n.registry.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		perTurn := make(map[int]int)
		for range sessions {
			e := <-ends
			perTurn[int(e.asked.Sub(start)/(375*time.Millisecond))]++
			if e.at.Sub(e.asked) != 5*time.Second || !strings.HasPrefix(e.last, `{"op":"close","code":1001,`) || e.retry > 100 {
				t.Errorf("ended %v after it was asked to go, with %s, to come back after %d ms", e.at.Sub(e.asked), e.last, e.retry)
			}
		}
		for turn := range sessions {
			if perTurn[turn] != 1 {
				t.Errorf("turn %d: %d were asked to go, want 1", turn, perTurn[turn])
			}
		}
	})
}

func TestDrainThatRunsOutOfTimeCutsOff(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		for _, user := range []string{"alice", "bob"} {
			n.hello(user, "systems=orders") // and reads nothing more
			n.deliver("user:"+user, "orders", `1`)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := n.registry.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if s := n.registry.Stats(); s.Sessions != 0 || n.server.Stats().Sessions != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestClosingDoesNotWaitForAClientThatReadsNothing(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		n.hello("alice", "systems=orders")
		n.deliver("user:alice", "orders", `1`)
		start := time.Now()
		n.stop()
		<-n.stopped
		if d := time.Since(start); d > 6*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}
