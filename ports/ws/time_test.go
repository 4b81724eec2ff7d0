package ws_test

import (
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

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
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

// inBubble runs a test in a synctest bubble, with a node on pipes.
func inBubble(t *testing.T, cfg config, test func(t *testing.T, n *pipedNode)) {
	synctest.Test(t, func(t *testing.T) {
		n := &pipedNode{node: newNode(t, cfg), pipes: &pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
		server := &http.Server{Handler: n.server}
		go func() { _ = server.Serve(n.pipes) }()
		test(t, n)
		n.stop()
		for _, c := range n.clients {
			_ = c.conn.Close()
		}
		<-n.stopped
		_ = server.Close()
	})
}

type pipedNode struct {
	*node
	pipes   *pipes
	clients []*client
}

func (n *pipedNode) connect(token, query string, protocols ...string) *client {
	n.t.Helper()
	dialer := websocket.Dialer{Subprotocols: protocols, NetDial: func(string, string) (net.Conn, error) {
		here, there := net.Pipe()
		n.pipes.conns <- there
		return here, nil
	}}
	conn, _, err := dialer.Dial("ws://node/ws?"+query, http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		n.t.Fatal(err)
	}
	c := &client{t: n.t, conn: conn}
	n.clients = append(n.clients, c)
	return c
}

func (n *pipedNode) v1(token, query string) *client {
	n.t.Helper()
	c := n.connect(token, query, ws.V1)
	c.wants(`{"op":"hello"`)
	return c
}

// until reads until an op with the prefix comes.
func (c *client) until(prefix string) time.Time {
	c.t.Helper()
	for {
		_ = c.conn.SetReadDeadline(time.Time{})
		_, frame, err := c.conn.ReadMessage()
		if err != nil {
			c.t.Fatalf("want %s…, got error %v", prefix, err)
		}
		for line := range strings.SplitSeq(string(frame), "\n") {
			if strings.HasPrefix(line, prefix) {
				return time.Now()
			}
		}
	}
}

// ended reads until the connection ends, and returns when that was, and with which code.
func (c *client) ended() (code int, at time.Time) {
	for {
		_ = c.conn.SetReadDeadline(time.Time{})
		if _, _, err := c.conn.ReadMessage(); err != nil {
			var closed *websocket.CloseError
			if errors.As(err, &closed) {
				code = closed.Code
			}
			return code, time.Now()
		}
	}
}

func TestSessionEndsWithItsToken(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		start := time.Now()
		c := n.v1("alice/ttl=90s", "systems=orders")
		code, at := c.ended()
		if d := at.Sub(start); code != session.CloseExpired || d < 90*time.Second || d > 92*time.Second {
			t.Errorf("closed with %d after %v", code, d)
		}
	})
}

func TestRefreshedTokenProlongsTheSession(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		start := time.Now()
		c := n.v1("alice/ttl=90s", "systems=orders")
		c.says(`{"op":"auth","ref":1,"token":"alice/ttl=300s"}`)
		c.wants(`{"op":"ok","ref":1}`)
		code, at := c.ended()
		if d := at.Sub(start); code != session.CloseExpired || d < 300*time.Second || d > 302*time.Second {
			t.Errorf("closed with %d after %v", code, d)
		}
	})
}

func TestSilentPeerIsGivenUpAndAnsweringOneIsNot(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		silent, alive := n.v1("alice", "systems=orders"), n.v1("bob", "systems=orders")
		silent.conn.SetPingHandler(func(string) error { return nil })
		over := make(chan time.Time, 2)
		start := time.Now()
		go func() { _, at := silent.ended(); over <- at }()
		go func() { _, at := alive.ended(); over <- at }()
		if d := (<-over).Sub(start); d != 60*time.Second {
			t.Errorf("the silent one ended after %v", d)
		}
		pauseFor(10 * time.Minute)
		if s := n.registry.Stats(); s.Sessions != 1 || s.Closed[1006] != 1 {
			t.Errorf("stats: %+v", s)
		}
		n.registry.Disconnect("bob", control.Value{})
		<-over
	})
}

func TestClientThatStopsReadingIsClosedAndItsNeighbourIsNot(t *testing.T) {
	inBubble(t, config{ws: ws.Config{OutboxFrames: 8}}, func(t *testing.T, n *pipedNode) {
		stuck, fine := n.v1("alice", "systems=orders"), n.v1("alice", "systems=orders")
		start := time.Now()
		for i := range 1000 {
			n.deliver("user:alice", "orders", fmt.Sprint(i))
			fine.wantsData(fmt.Sprint(i))
			synctest.Wait() // the writer has seen that the write has ended
		}
		if n.server.Stats().FellBack != 0 {
			t.Error("the neighbour's outbox filled, too")
		}
		poll(t, func() bool { pauseFor(time.Second); return n.registry.Stats().Sessions == 1 })
		if d := time.Since(start); d < 17*time.Second || d > 22*time.Second {
			t.Errorf("it took %v", d)
		}
		if s := n.registry.Stats(); s.Closed[session.CloseSlow] != 1 {
			t.Errorf("stats: %+v", s)
		}
		_ = stuck
	})
}

func TestSlowReaderCatchesUpWithoutLoss(t *testing.T) {
	inBubble(t, config{ws: ws.Config{OutboxFrames: 4, OutboxBytes: 2000}}, func(t *testing.T, n *pipedNode) {
		c := n.v1("alice", "systems=orders")
		for i := range 500 {
			n.deliver("user:alice", "orders", fmt.Sprint(i))
		}
		for i := range 500 {
			c.wantsData(fmt.Sprint(i))
		}
		n.deliver("user:alice", "orders", `"live"`)
		c.wantsData(`"live"`)
		if s := n.server.Stats(); s.FellBack < 50 || s.Dropped != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestSessionsThatHearNothingAreSentTheirCursors(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		c := n.v1("alice", "systems=orders,chat")
		start := time.Now()
		n.deliver("user:bob", "orders", `1`)
		if d := c.until(`{"op":"cursor","system":"orders","cursor":"`).Sub(start); d > 26*time.Second {
			t.Errorf("it took %v", d)
		}
		n.deliver("user:alice", "orders", `2`)
		c.wantsData(`2`)
		from := time.Now()
		n.registry.SetBusUp(true) // they know that, so they are told nothing
		go func() { pauseFor(5 * time.Minute); n.registry.SetBusUp(false) }()
		if d := c.until(`{"op":"bus","up":false}`).Sub(from); d < 5*time.Minute {
			t.Errorf("the bus was told down after %v", d)
		}
	})
}

func TestFloodOfOpsFromAClientThatDoesNotReadEndsIt(t *testing.T) {
	inBubble(t, config{ws: ws.Config{OutboxFrames: 8, SessionRate: session.Rate{Messages: 1e6, Bytes: 1e9}, UserRate: session.Rate{Messages: 1e6, Bytes: 1e9}}},
		func(t *testing.T, n *pipedNode) {
			c := n.v1("alice", "systems=chat")
			for range 1000 {
				if c.conn.WriteMessage(websocket.TextMessage, []byte(`{"op":"leave","system":"chat","room":"x"}`)) != nil {
					break
				}
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
			code             int
			asked, heard, at time.Time
		}
		ends := make(chan end, sessions)
		for i := range sessions {
			c := n.v1(fmt.Sprint("user", i), "systems=orders")
			go func() {
				var e end
				defer func() { ends <- e }() // also if the client fails
				e.asked = c.until(`{"op":"goaway","retry_ms":`)
				n.deliver("user:"+fmt.Sprint("user", i), "orders", `"still here"`)
				// A cursor may come first, where the time for that is the same.
				e.heard = c.until(`{"op":"message"`)
				e.code, e.at = c.ended()
			}()
		}
		start := time.Now()
		if err := n.registry.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 19*time.Second || d > 20*time.Second {
			t.Errorf("the drain took %v", d)
		}
		perTurn := make(map[int]int)
		for range sessions {
			e := <-ends
			perTurn[int(e.asked.Sub(start)/(375*time.Millisecond))]++
			if e.code != session.CloseGoingAway || e.at.Sub(e.asked) != 5*time.Second || e.heard != e.asked {
				t.Errorf("closed with %d, %v after it was asked to go; it heard a message after %v",
					e.code, e.at.Sub(e.asked), e.heard.Sub(e.asked))
			}
		}
		for turn := range sessions {
			if perTurn[turn] != 1 {
				t.Errorf("turn %d: %d were asked to go, want 1", turn, perTurn[turn])
			}
		}
	})
}

func TestRebalancingAsksAsManyAsItShallAtItsRate(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		start := time.Now()
		ends := make(chan time.Time, 10)
		for i := range 10 {
			c := n.v1(fmt.Sprint("user", i), "systems=orders")
			go func() {
				if code, at := c.ended(); code == session.CloseGoingAway {
					ends <- at
				}
			}()
		}
		n.registry.Rebalance(control.Value{Rate: 2, Sessions: 5}, nil)
		for i := range 5 {
			if at := (<-ends).Sub(start); at != session.DefaultGrace+time.Duration(i)*time.Second/2 {
				t.Errorf("session %d ended after %v", i, at)
			}
		}
		n.registry.Rebalance(control.Value{Rate: 2}, func() int { return 2 + n.registry.Sessions() - 5 }) // two too many
		for range 2 {
			<-ends
		}
		n.registry.Rebalance(control.Value{Rate: 2, Sessions: 3}, nil)
		pauseFor(100 * time.Millisecond)
		n.registry.Rebalance(control.Value{}, nil) // ends it after the first one
		pauseFor(time.Minute)
		if got := n.registry.Sessions(); got != 2 || len(ends) != 1 {
			t.Errorf("%d sessions are left, %d more have ended", got, len(ends))
		}
	})
}

// What a node knows of the others is some seconds old, while its sessions go to them faster
// than that.
func TestRebalancingGivesAwayNoMoreThanWasTooMany(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		for i := range 30 {
			c := n.v1(fmt.Sprint("user", i), "systems=orders")
			go func() {
				for line, err := "", error(nil); err == nil; line, err = c.next() {
					if strings.HasPrefix(line, `{"op":"goaway"`) {
						c.conn.Close()
					}
				}
			}()
		}
		over := func() int { return n.registry.Sessions() - n.registry.Sessions()/3 } // other nodes, which seem to be empty
		n.registry.Rebalance(control.Value{Rate: 100}, over)
		pauseFor(time.Second)
		if got := n.registry.Sessions(); got != 10 {
			t.Errorf("%d sessions are left of 30; want 10", got)
		}
	})
}

// A client that was asked to go has two sessions for a while, of which one counts.
func TestSessionsThatWereAskedToGoDoNotCount(t *testing.T) {
	inBubble(t, config{registry: session.Config{SessionsPerUser: 2}}, func(t *testing.T, n *pipedNode) {
		first, second := n.v1("alice", "systems=orders"), n.v1("alice", "systems=orders")
		n.registry.Rebalance(control.Value{Rate: 100, Sessions: 2}, nil)
		first.until(`{"op":"goaway","retry_ms":`)
		second.until(`{"op":"goaway","retry_ms":`)
		pauseFor(time.Second)
		third, fourth := n.v1("alice", "systems=orders"), n.v1("alice", "systems=orders")
		n.deliver("user:alice", "orders", `1`)
		for _, c := range []*client{first, second, third, fourth} {
			c.wantsData(`1`)
		}
		fifth := n.v1("alice", "systems=orders")
		third.wantsClose(session.CloseReplaced)
		for _, c := range []*client{first, second} {
			c.wantsClose(session.CloseGoingAway)
		}
		n.deliver("user:alice", "orders", `2`)
		fourth.wantsData(`2`)
		fifth.wantsData(`2`)
	})
}

func TestDrainEndsWhenTheLastClientHasGone(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		start := time.Now()
		for i := range 10 {
			c := n.v1(fmt.Sprint("user", i), "systems=orders")
			go func() {
				c.until(`{"op":"goaway","retry_ms":`)
				_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
				c.ended()
			}()
		}
		if err := n.registry.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 14*time.Second {
			t.Errorf("the drain took %v", d)
		}
		if s := n.registry.Stats(); s.Closed[1000] != 10 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestDrainThatRunsOutOfTimeCutsOff(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		n.v1("alice", "systems=orders") // does not read
		n.v1("bob", "systems=orders")
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := n.registry.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if s := n.registry.Stats(); s.Sessions != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestClosingDoesNotWaitForAClientThatNeverAnswers(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		n.v1("alice", "systems=orders") // does not read
		start := time.Now()
		n.stop()
		<-n.stopped
		if d := time.Since(start); d > 6*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// pauseFor lets time pass on the test's clock.
func pauseFor(d time.Duration) { <-time.After(d) }

func TestWhatGathersDuringAWriteLeavesTogether(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		for _, protocol := range []string{ws.V1, ws.Plain} {
			var c *client
			if protocol == ws.V1 {
				c = n.v1("alice", "systems=orders")
			} else {
				c = n.connect("bob", "systems=orders", protocol)
			}
			synctest.Wait()
			before := n.server.Stats()
			for i := range 10 {
				n.deliver("*", "orders", fmt.Sprint(i))
				if i == 0 {
					synctest.Wait() // the first write is in flight
				}
			}
			synctest.Wait()
			frames := 0
			for got := 0; got < 10; frames++ {
				_, frame, err := c.conn.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				for line := range strings.SplitSeq(string(frame), "\n") {
					if !strings.Contains(line, fmt.Sprint(got)) {
						t.Errorf("%s: want message %d, got %s", protocol, got, line)
					}
					got++
				}
			}
			if want := map[string]int{ws.V1: 2, ws.Plain: 10}[protocol]; frames != want {
				t.Errorf("%s: %d frames, want %d", protocol, frames, want)
			}
			synctest.Wait()
			after := n.server.Stats()
			if writes := after.WritesOut - before.WritesOut; writes != 2 || after.FramesOut-before.FramesOut != 10 {
				t.Errorf("%s: %d writes of %d frames, want 2 of 10", protocol, writes, after.FramesOut-before.FramesOut)
			}
			if n.registry.Disconnect("alice", control.Value{})+n.registry.Disconnect("bob", control.Value{}) != 1 {
				t.Error("want one session at a time")
			}
			c.ended()
			synctest.Wait()
		}
	})
}

func TestBatchesAreBounded(t *testing.T) {
	inBubble(t, config{ws: ws.Config{OutboxBytes: 1 << 20}}, func(t *testing.T, n *pipedNode) {
		c := n.v1("alice", "systems=orders")
		for i := range 100 {
			n.deliver("user:alice", "orders", fmt.Sprintf(`"%03d%s"`, i, strings.Repeat("x", 5000)))
		}
		for got := 0; got < 100; {
			_, frame, err := c.conn.ReadMessage()
			if err != nil || len(frame) > 64<<10 {
				t.Fatalf("a frame of %d bytes, %v", len(frame), err)
			}
			got += strings.Count(string(frame), "\n") + 1
		}
	})
}
