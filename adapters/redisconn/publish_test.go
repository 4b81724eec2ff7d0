package redisconn_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

// A say returns what a scripted server replies to a command. An empty reply closes the
// connection.
type say func(command []string) string

// serve starts a server on a free port that answers every command as say does,
// and returns its address.
func serve(t *testing.T, answer say) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			converse(nc, answer)
		}
	}()
	return l.Addr().String()
}

// converse answers one connection until it ends.
func converse(nc net.Conn, answer say) {
	defer nc.Close()
	in := bufio.NewReader(nc)
	for {
		command, err := readCommand(in)
		if err != nil {
			return
		}
		text := answer(command)
		if text == "" {
			return
		}
		if _, err := io.WriteString(nc, text); err != nil {
			return
		}
	}
}

func readCommand(in *bufio.Reader) (command []string, err error) {
	var n int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil {
		return nil, err
	}
	for range n {
		var size int
		if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		command = append(command, string(text[:size]))
	}
	return command, nil
}

// publishTo publishes three records, each an XADD, and returns their errors.
func publishTo(t *testing.T, addr string) []error {
	t.Helper()
	s, err := parse("redis://u:p@" + addr + "/3?reply_timeout=200ms")
	if err != nil {
		t.Fatal(err)
	}
	masters := redisconn.NewMasters(s)
	defer func() { _ = masters.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	pipe := masters.NewPipeline(3)
	for i := range 3 {
		pipe.Add("t", redisconn.IsEntryID, "XADD", "t", "*", "n", fmt.Sprint(i))
	}
	return pipe.Exec(ctx)
}

const entry = "$3\r\n1-1\r\n"

// Whatever a server does, a record counts as published only if its own reply was received.
func TestARecordIsTakenOnlyIfItsOwnReplySaysSo(t *testing.T) {
	const refusal = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	for _, c := range []struct {
		name    string
		login   map[string]string // answers to the commands before the first XADD
		entries []string          // answers to the XADDs
		refused string            // for each record: T taken, R refused for certain, D unknown
	}{
		{"all is well", nil, []string{entry, entry, entry}, "TTT"},
		{"the password is wrong", map[string]string{"HELLO": refusal, "AUTH": refusal}, nil, "RRR"},
		{"no password is known", map[string]string{"HELLO": refusal, "AUTH": "-ERR AUTH called without any password configured\r\n"}, nil, "RRR"},
		{"there is no such database", map[string]string{"SELECT": "-ERR DB index is out of range\r\n"}, nil, "RRR"},
		{"the login gets no answer", map[string]string{"HELLO": ""}, nil, "DDD"},
		{"the database gets no answer", map[string]string{"SELECT": ""}, nil, "DDD"},
		{"the server loads", map[string]string{"HELLO": "-LOADING Redis is loading the dataset in memory\r\n", "AUTH": "-LOADING\r\n"}, nil, "RRR"},
		{"there are too many clients", map[string]string{"HELLO": "-ERR max number of clients reached\r\n", "AUTH": ""}, nil, "DDD"},
		{"the first is refused", nil, []string{"-OOM command not allowed\r\n", entry, entry}, "RTT"},
		{"the last is refused", nil, []string{entry, entry, "-NOPERM no\r\n"}, "TTR"},
		{"all are refused", nil, []string{"-READONLY no\r\n", "-MISCONF no\r\n", "-NOREPLICAS no\r\n"}, "RRR"},
		{"it ends after the first", nil, []string{entry, ""}, "TDD"},
		{"it ends after a refusal", nil, []string{"-OOM no\r\n", ""}, "RDD"},
		{"the replies are something else", nil, []string{"+OK\r\n", ":1\r\n", "*0\r\n"}, "DDD"},
		{"the replies are nothing", nil, []string{"$-1\r\n", "*-1\r\n", entry}, "DDT"},
		{"the commands are only queued", nil, []string{"+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n"}, "DDD"},
		{"it is another server's", nil, []string{"-MOVED 1 127.0.0.1:1\r\n", "-ASK 1 127.0.0.1:1\r\n", "-CROSSSLOT no\r\n"}, "RRR"},
		{"the replies are none", nil, []string{"HTTP/1.1 400 Bad Request\r\n"}, "DDD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sent atomic.Int32 // XADDs that the server saw
			addr := serve(t, func(command []string) string {
				if command[0] == "XADD" {
					n := int(sent.Add(1))
					if n > len(c.entries) {
						return ""
					}
					return c.entries[n-1]
				}
				if text, ok := c.login[strings.ToUpper(command[0])]; ok {
					return text
				}
				if command[0] == "hello" {
					return "*2\r\n$5\r\nproto\r\n:2\r\n"
				}
				return "+OK\r\n"
			})
			errs := publishTo(t, addr)
			got := ""
			for i := range 3 {
				switch {
				case errs == nil || errs[i] == nil:
					got += "T"
				case !errors.Is(errs[i], domain.ErrBusDown) && !errors.Is(errs[i], domain.ErrBusRefused):
					t.Errorf("record %d: no error of the bus: %v", i, errs[i])
				case errors.Is(errs[i], domain.ErrBusRefused):
					got += "R"
				default:
					got += "D"
				}
			}
			if got != c.refused {
				t.Errorf("got %s, want %s: %v", got, c.refused, errs)
			}
			n := int(sent.Load())
			if want := strings.Count(c.refused, "T"); n < want || strings.Trim(c.refused, "R") == "" && c.login != nil && n != 0 {
				t.Errorf("%d records were sent", n)
			}
		})
	}
}
