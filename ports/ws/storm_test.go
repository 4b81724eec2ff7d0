package ws_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

// missedEach is how many messages each session that comes back has missed.
const missedEach = 10

// BenchmarkResume lets 10,000 sessions come back to a window of 100,000 messages, 64 at
// a time. Each connects, reads hello and the ten messages that it has missed, and
// leaves. "reconnect" is the same without a cursor, for what a session costs that has
// missed nothing. The clients run in another process, so the CPU time reported is the
// server's alone.
func BenchmarkResume(b *testing.B) {
	const storm = 10_000
	b.Run("reconnect", func(b *testing.B) { comeBack(b, storm, 0) })
	b.Run("resume", func(b *testing.B) { comeBack(b, storm, missedEach) })
}

func comeBack(b *testing.B, users, missed int) {
	n := serve(b, config{window: stream.NewBudget(256 << 20)}) // the budget counts the index, too
	for i := range missedEach * users {
		m := benchMessage()
		m.ID, m.To = fmt.Sprintf("01JCXYZ%019d", i), targets(fmt.Sprint("user:u", i%users))
		n.deliverMessage("orders", m)
	}
	start := stormers(b, n, users, missed)
	before, first := cpu(), n.stats("orders")
	sessions := 0
	for b.Loop() {
		start()
		sessions += users
	}
	used, last := cpu()-before, n.stats("orders")
	if got := last.Resumed - first.Resumed; missed > 0 && got != uint64(sessions) || last.Backfills != 0 || len(last.GapsTold) > 0 {
		b.Errorf("%d of %d resumed: %+v", got, sessions, last)
	}
	b.ReportMetric(float64(used)/float64(sessions), "cpu-ns/session")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sessions), "ns/session")
	b.ReportMetric(0, "ns/op")
}

// stormers starts the other process. Each call of the function that it returns lets all
// clients come once.
func stormers(b *testing.B, n *node, users, missed int) (storm func()) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	since := domain.Cursor{Log: log, Position: pos(0)}.String()
	cmd.Env = append(os.Environ(), fmt.Sprintf("WS_STORM=%s %d %d %s", strings.TrimPrefix(n.url, "ws://"), users, missed, since))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	done := bufio.NewReader(out)
	return func() {
		_, err := in.Write([]byte{'.'})
		if err == nil {
			_, err = done.ReadByte()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// beStormers is what the other process does, until its standard input ends.
func beStormers(what string) {
	f := strings.Split(what, " ")
	users, _ := strconv.Atoi(f[1])
	missed, _ := strconv.Atoi(f[2])
	for {
		if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
			os.Exit(0)
		}
		var next atomic.Int64
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				for i := int(next.Add(1)) - 1; i < users; i = int(next.Add(1)) - 1 {
					if err := visit(f[0], fmt.Sprint("u", i), f[3], missed); err != nil {
						fmt.Fprintln(os.Stderr, err)
						os.Exit(1)
					}
				}
			})
		}
		all.Wait()
		_, _ = os.Stdout.Write([]byte{'.'})
	}
}

// visit connects, reads hello and what was missed, and leaves.
func visit(address, user, since string, missed int) error {
	dialer := websocket.Dialer{Subprotocols: []string{ws.V1}, ReadBufferSize: 4096, WriteBufferSize: 256}
	at := "ws://" + address + "/ws?systems=orders"
	if missed > 0 {
		at += "&resume=orders:" + since
	}
	conn, _, err := dialer.Dial(at, http.Header{"Authorization": {"Bearer " + user}})
	if err != nil {
		return err
	}
	defer conn.Close()
	if tcp, ok := conn.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else the ports of 10,000 closed connections are not free for a minute
	}
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for got, hello := 0, false; got < missed || !hello; {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if bytes.Contains(frame, []byte(`"op":"gap"`)) {
			return errors.New("a gap")
		}
		got += bytes.Count(frame, []byte(mark))
		hello = hello || bytes.Contains(frame, []byte(`"op":"hello"`))
	}
	return nil
}

func TestStormOverSocketsIsServedFromTheWindow(t *testing.T) {
	const users = 50
	n := serve(t, config{registry: session.Config{}})
	for i := range missedEach * users {
		m := benchMessage()
		m.ID, m.To = fmt.Sprint(i), targets(fmt.Sprint("user:u", i%users))
		n.deliverMessage("orders", m)
	}
	since := domain.Cursor{Log: log, Position: pos(0)}.String()
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			if err := visit(strings.TrimPrefix(n.url, "ws://"), fmt.Sprint("u", i), since, missedEach); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if s := n.stats("orders"); s.Resumed != users || s.Backfills != 0 {
		t.Errorf("it counted %+v", s)
	}
}
