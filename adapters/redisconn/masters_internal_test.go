package redisconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/freeport"
)

// replyTo starts a server that gives a reply to CLUSTER SLOTS, and to PING its own, and
// returns its address. It serves one connection after the other.
func replyTo(t *testing.T, slots string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			replyOn(nc, slots)
			_ = nc.Close()
		}
	})
	return l.Addr().String()
}

func replyOn(nc net.Conn, slots string) {
	for in := make([]byte, 1024); ; {
		n, err := nc.Read(in)
		if err != nil {
			return
		}
		reply := "-ERR unknown command\r\n"
		switch command := strings.ToUpper(string(in[:n])); {
		case strings.Contains(command, "SLOTS"):
			reply = slots
		case strings.Contains(command, "PING"):
			reply = "+PONG\r\n"
		}
		_, _ = fmt.Fprint(nc, reply)
	}
}

// allSlotsAt is a reply to CLUSTER SLOTS.
func allSlotsAt(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$%d\r\n%s\r\n:%s\r\n", len(host), host, port)
}

// A server that was removed from the cluster knows no masters. The next one is asked.
func TestAServerWithoutMastersIsPassedOver(t *testing.T) {
	removed := replyTo(t, "*0\r\n")
	member := replyTo(t, allSlotsAt("10.0.0.1:6379"))
	m := clusterOf(t, "redis://"+removed+","+member+"?cluster=true")
	if addr, err := m.Find(t.Context(), "t"); err != nil || addr != "10.0.0.1:6379" {
		t.Errorf("the topic is at %s, %v", addr, err)
	}
	alone := clusterOf(t, "redis://"+removed+"?cluster=true")
	if _, err := alone.Find(t.Context(), "t"); !errors.Is(Classify(err), domain.ErrBusDown) ||
		!strings.Contains(err.Error(), "has left the cluster") {
		t.Errorf("a server that was removed: %v", err)
	}
}

// A replica says where topics are, but with its master down nobody serves them.
func TestAClusterWithoutAMasterThatRepliesIsDown(t *testing.T) {
	master := freeport.Address(t)
	m := clusterOf(t, "redis://"+replyTo(t, allSlotsAt(master))+"?cluster=true")
	if err := m.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), master) {
		t.Errorf("ping: %v", err)
	}
}

// When the masters are others than before, it is they who are pinged.
func TestAPingFollowsTheMasters(t *testing.T) {
	m := clusterOf(t, "redis://"+replyTo(t, allSlotsAt(replyTo(t, "")))+"?cluster=true")
	gone := freeport.Address(t)
	m.slots = &slotMap{owners: make([]string, numSlots), masters: []string{gone}, nodes: []string{gone}}
	m.refreshed = time.Now()
	if err := m.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// A client that is closed because its server has left the cluster is not the end of what
// uses it.
func TestTheClientOfAServerThatHasLeft(t *testing.T) {
	const addr = "127.0.0.1:1"
	m := clusterOf(t, "redis://"+addr+"?cluster=true")
	m.slots = &slotMap{owners: make([]string, numSlots), masters: []string{addr}, nodes: []string{addr}}
	for i := range m.slots.owners {
		m.slots.owners[i] = addr
	}
	m.loaded, m.refreshed = time.Now(), time.Now()
	client, err := m.client(addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = client.Close() // it is still in m.clients, as if it were taken before it was closed
	pipe := m.NewPipeline(1)
	pipe.Add("t", IsEntryID, "XADD", "t", "*", "a", "b")
	for what, err := range map[string]error{
		"publish": pipe.Exec(t.Context())[0],
		"command": m.Client().XLen(t.Context(), "t").Err(),
		"asking":  m.processAt(t.Context(), target{addr, true}, m.Client().XLen(t.Context(), "t")),
		"time":    func() error { _, err := m.Time(t.Context(), "t"); return err }(),
		"ping":    m.pingServer(t.Context(), addr),
	} {
		if err = Classify(err); !errors.Is(err, domain.ErrBusDown) || errors.Is(err, domain.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A server that was removed knows no slots. What it says is a reason to ask the others.
func TestSlotsAreInDoubt(t *testing.T) {
	m := clusterOf(t, "redis://10.0.0.1:1?cluster=true")
	for answer, want := range map[string]bool{
		"CLUSTERDOWN Hash slot not served": true, "MOVED 1 10.0.0.2:1": true,
		"ASK 1 10.0.0.2:1": false, "OOM command not allowed": false,
	} {
		m.stale = false
		m.follow(classifyRefusal(Error(answer)), target{addr: "10.0.0.1:1"})
		if m.stale != want {
			t.Errorf("%s: in doubt: %v", answer, m.stale)
		}
	}
}

// Slots are asked for again although nothing seems wrong, and Close ends that.
func TestSlotsAreRefreshed(t *testing.T) {
	m := clusterOf(t, "redis://"+replyTo(t, allSlotsAt("10.0.0.2:1"))+"?cluster=true")
	m.slots = &slotMap{owners: make([]string, numSlots), nodes: []string{"10.0.0.1:1"}}
	m.loaded = time.Now()
	conn := &Conn{target: target{addr: "10.0.0.1:1"}}
	for end := time.Now().Add(20 * time.Second); m.CheckMember(conn) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the cluster was not asked")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if addr, err := m.Find(ctx, "t"); err != nil || addr != "10.0.0.2:1" { // no question is needed
		t.Errorf("the topic is at %s, %v", addr, err)
	}
}
