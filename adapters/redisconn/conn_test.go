package redisconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
)

// A script is a connection to a server that sends the same replies whatever it is sent.
type script struct {
	net.Conn // nil: what is not below must not be called
	io.Reader
	sent bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)       { return s.Reader.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return s.sent.Write(b) }
func (s *script) Close() error                     { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

func says(answers string) *redisconn.Conn {
	return redisconn.NewConn(&script{Reader: iotest.HalfReader(strings.NewReader(answers))}, time.Second)
}

func TestCommandsAreWrittenAsArrays(t *testing.T) {
	s := &script{Reader: strings.NewReader("")}
	c := redisconn.NewConn(s, time.Second)
	c.Queue("PING")
	c.Queue("SET", "k", "a\r\nb", "")
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "*1\r\n$4\r\nPING\r\n*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n$0\r\n\r\n"
	if s.sent.String() != want {
		t.Errorf("sent %q", s.sent.String())
	}
}

func TestRepliesAreRead(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	c := says("*2\r\n$3\r\nabc\r\n:-5\r\n*-1\r\n$-1\r\n+OK\r\n$3145728\r\n" + big + "\r\n-ERR no\r\n*2\r\n*1\r\n$1\r\na\r\n-ERR deep\r\n+end\r\n")
	var n int64
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text := func(want string) {
		t.Helper()
		got, err := c.Text()
		check(err)
		if got != want {
			t.Fatalf("got %.20q, want %.20q", got, want)
		}
	}
	array := func(want int) {
		t.Helper()
		got, err := c.Array()
		check(err)
		if got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	array(2)
	text("abc")
	check(c.Int(&n))
	if n != -5 {
		t.Fatal(n)
	}
	array(-1)
	text("")
	text("OK")
	text(big)
	if _, err := c.Text(); err != redisconn.Error("ERR no") {
		t.Fatal(err)
	}
	if err := c.Skip(); err != redisconn.Error("ERR deep") {
		t.Fatal(err)
	}
	text("end")
	if _, err := c.Text(); err == nil || !strings.Contains(err.Error(), "closed the connection") {
		t.Fatal(err)
	}
}

// FuzzReplies sends any bytes to every method that reads a reply. None may panic, loop
// for ever, or allocate more memory than has arrived.
func FuzzReplies(f *testing.F) {
	f.Add("*2\r\n$3\r\nabc\r\n:1\r\n")
	f.Add("$536870912\r\n")
	f.Add("*16777216\r\n*16777216\r\n")
	f.Add("$-2\r\n")
	f.Add("-\r\n")
	f.Add("$1\r\nab\r\n")
	f.Fuzz(func(t *testing.T, answers string) {
		for _, read := range []func(*redisconn.Conn) error{
			(*redisconn.Conn).Skip,
			func(c *redisconn.Conn) error { _, err := c.Array(); return err },
			func(c *redisconn.Conn) error {
				b, err := c.Bulk(nil)
				if len(b) > len(answers) {
					t.Fatalf("%d bytes of %d", len(b), len(answers))
				}
				return err
			},
			func(c *redisconn.Conn) error { var n int64; return c.Int(&n) },
		} {
			c := says(answers)
			for range len(answers) + 2 {
				var answer redisconn.Error
				if err := read(c); err != nil && !errors.As(err, &answer) {
					break
				}
			}
		}
	})
}

// A long reply over a slow connection may take longer than the server may be silent.
func TestALongAnswerMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := redisconn.NewConn(ours, time.Second)
		defer c.Close()
		go func() {
			_, _ = io.WriteString(theirs, "$10\r\n")
			for range 10 {
				time.Sleep(900 * time.Millisecond) // the bubble's time
				_, _ = io.WriteString(theirs, "x")
			}
			_, _ = io.WriteString(theirs, "\r\n")
		}()
		if came, err := c.Wait(100 * time.Millisecond); !came || err != nil {
			t.Fatal(came, err)
		}
		if got, err := c.Text(); err != nil || got != "xxxxxxxxxx" {
			t.Fatalf("%q, %v", got, err)
		}
		if came, err := c.Wait(10 * time.Second); came || err != nil {
			t.Fatal(came, err)
		}
		start := time.Now()
		if _, err := c.Text(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
	})
}
