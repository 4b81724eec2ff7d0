package sse_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fanfarebus/fanfare/ports/session"
)

// BenchmarkFanOut sends messages to 1,000 sessions, several at a time, and waits until
// all sessions have them. The clients run in another process, so the CPU time reported
// is the server's alone.
func BenchmarkFanOut(b *testing.B) {
	for _, inFlight := range []int{1, 32} {
		b.Run(fmt.Sprint(inFlight), func(b *testing.B) { fanOut(b, inFlight) })
	}
}

const crowd = 1000

func fanOut(b *testing.B, inFlight int) {
	n := serve(b, config{registry: session.Config{SessionsPerUser: crowd}})
	all := others(b, strings.TrimPrefix(n.url, "http://"), crowd)
	poll(b, func() bool { return n.registry.Stats().Sessions == crowd })
	before, used, deliveries := n.server.Stats(), cpu(), 0
	b.ReportAllocs()
	for b.Loop() {
		for range inFlight {
			n.deliver("*", "orders", benchData)
		}
		for range inFlight {
			if _, err := all.ReadByte(); err != nil {
				b.Fatal(err)
			}
		}
		deliveries += inFlight * crowd
	}
	after := n.server.Stats()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(deliveries), "ns/delivery")
	b.ReportMetric(float64(cpu()-used)/float64(deliveries), "cpu-ns/delivery")
	b.ReportMetric(float64(after.FramesOut-before.FramesOut)/float64(after.WritesOut-before.WritesOut), "events/write")
}

// BenchmarkIdleSession reports how much of the server's memory 2,000 idle sessions
// hold.
func BenchmarkIdleSession(b *testing.B) {
	const sessions = 2000
	n := serve(b, config{registry: session.Config{SessionsPerUser: 1 << 20}})
	before, used := resident(b), cpu()
	for b.Loop() {
		others(b, strings.TrimPrefix(n.url, "http://"), sessions)
		poll(b, func() bool { s := n.registry.Stats().Sessions; return s > 0 && s%sessions == 0 })
	}
	open := float64(n.registry.Stats().Sessions)
	b.ReportMetric(float64(cpu()-used)/open, "cpu-ns/connect")
	b.ReportMetric(float64(resident(b)-before)/open, "B/session")
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
func others(b *testing.B, address string, count int) *bufio.Reader {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "SSE_CLIENTS="+address+" "+strconv.Itoa(count))
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
	address, text, _ := strings.Cut(what, " ")
	count, _ := strconv.Atoi(text)
	var received atomic.Int64
	for range count {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_, err = io.WriteString(conn, "GET /sse?systems=orders HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer alice\r\n\r\n")
		}
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
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
