package ws_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

var frame []byte

// benchMessage has 128 bytes of data.
func benchMessage() *domain.Message {
	m := &domain.Message{ID: "01JCXYZ0000000000000000000", Type: "order.paid", Time: time.UnixMilli(1_700_000_000_000)}
	if err := m.SetData(domain.JSON, []byte(benchData)); err != nil {
		panic(err)
	}
	return m
}

func BenchmarkEncodeV1(b *testing.B) {
	sys, to, m := system("orders"), targets("user:alice")[0], benchMessage()
	b.ReportAllocs()
	for b.Loop() {
		frame = session.V1Encoder{}.Message(sys, m, to, cursorAt5).Bytes
	}
}

func BenchmarkEncodePlain(b *testing.B) {
	sys, to, m := system("orders"), targets("user:alice")[0], benchMessage()
	b.ReportAllocs()
	for b.Loop() {
		frame = ws.PlainEncoder{}.Message(sys, m, to, cursorAt5).Bytes
	}
}

func BenchmarkOps(b *testing.B) {
	op := []byte(`{"op":"send","ref":2,"system":"chat","to":"room:lobby","type":"chat.said","data":{"text":"hi"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ws.NewOps(op).Next(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFanOut sends messages to many sessions, several at a time, and waits until
// all sessions have them. The clients run in another process, so the CPU time reported
// is the server's alone. "bare" is, for comparison, a loop of writes of frames made
// before.
func BenchmarkFanOut(b *testing.B) {
	for _, crowd := range []int{2000, 10_000} {
		for _, inFlight := range []int{1, 32} {
			b.Run(fmt.Sprintf("bare/%d/%d", crowd, inFlight), func(b *testing.B) { bareFanOut(b, crowd, inFlight) })
			for _, protocol := range []string{ws.V1, ws.Plain} {
				b.Run(fmt.Sprintf("%s/%d/%d", protocol, crowd, inFlight), func(b *testing.B) { fanOut(b, protocol, crowd, inFlight) })
			}
		}
	}
}

func fanOut(b *testing.B, protocol string, crowd, inFlight int) {
	n := serve(b, config{registry: session.Config{SessionsPerUser: crowd}})
	all := others(b, strings.TrimPrefix(n.url, "ws://"), protocol, crowd)
	poll(b, func() bool { return n.registry.Stats().Sessions == crowd })
	before := n.server.Stats()
	measure(b, crowd, inFlight, all, func() {
		n.deliverMessage("orders", &domain.Message{Type: "order.paid", To: []domain.Target{domain.Everyone},
			Data: []byte(benchData), ContentType: domain.JSON})
	})
	after := n.server.Stats()
	b.ReportMetric(float64(after.FramesOut-before.FramesOut)/float64(after.WritesOut-before.WritesOut), "frames/write")
}

func bareFanOut(b *testing.B, crowd, inFlight int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	all := others(b, listener.Addr().String(), "", crowd)
	conns := make([]net.Conn, crowd)
	for i := range conns {
		if conns[i], err = listener.Accept(); err != nil {
			b.Fatal(err)
		}
		defer conns[i].Close()
	}
	ready := append([]byte{0x82, 126, 1, 0x2c}, session.V1Encoder{}.Message(system("orders"), benchMessage(), domain.Everyone, cursorAt5).Bytes...)
	measure(b, crowd, inFlight, all, func() {
		for _, c := range conns {
			if _, err := c.Write(ready); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func measure(b *testing.B, crowd, inFlight int, all *bufio.Reader, send func()) {
	deliveries := 0
	before := cpu()
	b.ReportAllocs()
	for b.Loop() {
		for range inFlight {
			send()
		}
		for range inFlight {
			if _, err := all.ReadByte(); err != nil {
				b.Fatal(err)
			}
		}
		deliveries += inFlight * crowd
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(deliveries), "ns/delivery")
	b.ReportMetric(float64(cpu()-before)/float64(deliveries), "cpu-ns/delivery")
}

// BenchmarkDeadNeighbours sends messages to 200 sessions, one at a time, and reports how
// long they take to arrive: without others, and with clients beside them that have
// stopped reading, while as much is sent to these.
func BenchmarkDeadNeighbours(b *testing.B) {
	for _, dead := range []int{0, 2, 100} {
		b.Run(fmt.Sprint(dead, " dead"), func(b *testing.B) {
			const alive = 200
			n := serveTight(b, config{registry: session.Config{SessionsPerUser: alive}, ws: ws.Config{Stall: time.Hour}})
			for range dead {
				n.dead("dead")
			}
			n.fillDead(dead)
			var sent atomic.Int64 // when the message in flight was sent
			took := make(chan time.Duration, alive)
			for range alive {
				go timeMarks(n.v1("alice", "systems=orders").conn.NetConn(), &sent, took)
			}
			var all []time.Duration
			for b.Loop() {
				sent.Store(time.Now().UnixNano())
				n.deliver("*", "orders", benchData)
				for range alive {
					all = append(all, <-took)
				}
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
		})
	}
}

// timeMarks reports how long each message took to arrive.
func timeMarks(conn net.Conn, sent *atomic.Int64, took chan<- time.Duration) {
	in := bufio.NewReader(conn)
	for {
		part, err := in.ReadSlice(mark[1])
		if err != nil {
			return
		}
		if bytes.HasSuffix(part, []byte(mark)) {
			took <- time.Duration(time.Now().UnixNano() - sent.Load())
		}
	}
}

// BenchmarkIdleSession reports how much of the server's memory 2,000 idle sessions
// hold.
func BenchmarkIdleSession(b *testing.B) {
	const sessions = 2000
	for _, protocol := range []string{ws.V1, ws.Plain} {
		b.Run(protocol, func(b *testing.B) {
			n := serve(b, config{registry: session.Config{SessionsPerUser: sessions}})
			before, used := resident(b), cpu()
			for b.Loop() {
				others(b, strings.TrimPrefix(n.url, "ws://"), protocol, sessions)
				poll(b, func() bool { return n.registry.Stats().Sessions%sessions == 0 && n.registry.Stats().Sessions > 0 })
			}
			b.ReportMetric(float64(cpu()-used)/float64(n.registry.Stats().Sessions), "cpu-ns/connect")
			b.ReportMetric(float64(resident(b)-before)/float64(n.registry.Stats().Sessions), "B/session")
		})
	}
}

// resident returns the process's resident memory, after it has returned what it can to
// the system.
func resident(b *testing.B) int64 {
	for range 3 {
		debug.FreeOSMemory() // stacks shrink by half each time
	}
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("no /proc")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(status))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func cpu() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// The data of a benchmark's message contains one mark, by which clients count messages
// without parsing them.
const mark = "#!"

var benchData = `{"n":"` + mark + strings.Repeat("x", 118) + `"}`

// others connects clients from another process. It returns a reader that yields a byte
// for each message that all of them have received.
func others(b *testing.B, address, protocol string, count int) *bufio.Reader {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "WS_CLIENTS="+strings.Join([]string{address, protocol, strconv.Itoa(count)}, " "))
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
	all := bufio.NewReader(out)
	if _, err := all.ReadByte(); err != nil { // all are connected
		b.Fatal(err)
	}
	return all
}

// beOthers is what the other process does, until its standard input ends.
func beOthers(what string) {
	var address, protocol string
	var count int
	if f := strings.Split(what, " "); len(f) == 3 {
		address, protocol = f[0], f[1]
		count, _ = strconv.Atoi(f[2])
	}
	var received atomic.Int64
	for range count {
		conn, err := reach(address, protocol)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go countMarks(conn, int64(count), &received)
	}
	_, _ = os.Stdout.Write([]byte{'.'})
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func reach(address, protocol string) (net.Conn, error) {
	if protocol == "" {
		return net.Dial("tcp", address)
	}
	dialer := websocket.Dialer{Subprotocols: []string{protocol}, ReadBufferSize: 256, WriteBufferSize: 256}
	conn, _, err := dialer.Dial("ws://"+address+"/ws?systems=orders", http.Header{"Authorization": {"Bearer alice"}})
	if err != nil {
		return nil, err
	}
	return conn.NetConn(), nil
}

func countMarks(conn net.Conn, count int64, received *atomic.Int64) {
	buf := make([]byte, 16<<10)
	kept := 0 // how much of a mark the read before ended with
	for {
		n, err := conn.Read(buf[kept:])
		if err != nil {
			return
		}
		read := buf[:kept+n]
		marks := int64(bytes.Count(read, []byte(mark)))
		if kept = 0; read[len(read)-1] == mark[0] {
			kept = copy(buf, mark[:1])
		}
		now := received.Add(marks)
		if whole := now/count - (now-marks)/count; whole > 0 {
			_, _ = os.Stdout.Write(bytes.Repeat([]byte{'.'}, int(whole)))
		}
	}
}
