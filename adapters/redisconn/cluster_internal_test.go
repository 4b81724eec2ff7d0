package redisconn

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

func TestSlotsAreThoseOfRedis(t *testing.T) {
	for topic, want := range map[string]int{ // as CLUSTER KEYSLOT answers
		"123456789": 12739, "fanfare.orders": slotOf("x{fanfare.orders}y"), "{a}b{c}": slotOf("a"),
		"{}a": int(crc16("{}a")) % numSlots, "{a": int(crc16("{a")) % numSlots, "a}b{c}": slotOf("c"),
	} {
		if got := slotOf(topic); got != want {
			t.Errorf("%s has slot %d instead of %d", topic, got, want)
		}
	}
}

func TestRedirections(t *testing.T) {
	from := target{addr: "10.0.0.1:6379"}
	for answer, want := range map[string]target{
		"MOVED 3999 10.0.0.2:6381": {addr: "10.0.0.2:6381"},
		"ASK 3999 10.0.0.2:6381":   {addr: "10.0.0.2:6381", asking: true},
		"MOVED 3999 :6381":         {addr: "10.0.0.1:6381"}, // the host is the same
		"MOVED 3999 ?:6381":        {addr: "10.0.0.1:6381"},
		"MOVED 3999 ::1:6381":      {addr: "[::1]:6381"},
		"MOVED 3999 redis-2:6381":  {addr: "redis-2:6381"},
		"MOVED 3999":               {}, "MOVED": {}, "MOVED a b": {}, "ERR no": {},
	} {
		got, ok := redirection(Error(answer), from)
		if got != want && ok || ok != (want != target{}) {
			t.Errorf("%s: %v, %v", answer, got, ok)
		}
	}
}

// A record that was redirected is not sent again behind a later one of its topic.
func TestRedirectedRecordsKeepTheirOrder(t *testing.T) {
	m := clusterOf(t, "redis://10.0.0.1:1?cluster=true")
	refused := func(answer string) error { return classifyRefusal(Error(answer)) }
	moved, ask := refused("MOVED 1 10.0.0.2:1"), refused("ASK 1 10.0.0.2:1")
	for _, c := range []struct {
		name string
		errs []error // of the records of one topic
		want []int   // which are sent again
	}{
		{"none", []error{nil, refused("OOM no")}, nil},
		{"all", []error{moved, moved, moved}, []int{0, 1, 2}},
		{"the rest", []error{nil, ask, ask}, []int{1, 2}},
		{"two kinds", []error{ask, moved}, []int{0, 1}},
		{"a later one was taken", []error{ask, nil, ask}, []int{2}},
		{"a later one may have been taken", []error{ask, errDownNoReply}, nil},
	} {
		var sent []*record
		for i, err := range c.errs {
			sent = append(sent, &record{topic: "t", args: []any{i}, err: err}, &record{topic: "other"})
		}
		next := m.redirected(map[target][]*record{{addr: "10.0.0.1:1"}: sent})
		var got []int
		for _, records := range next {
			for _, r := range records {
				got = append(got, r.args[0].(int))
			}
		}
		if !slices.Equal(got, c.want) || len(next) > 1 {
			t.Errorf("%s: %v go to %d servers", c.name, got, len(next))
		}
	}
}

func clusterOf(t testing.TB, rawURL string) *Masters {
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(u, dsn.NewParams(u))
	if err != nil {
		t.Fatal(err)
	}
	m := NewMasters(s)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestTopicsOfCommands(t *testing.T) {
	ctx := context.Background()
	for args, want := range map[string]string{
		"XADD t * a b": "t", "XINFO STREAM t": "t", "XGROUP CREATE t g 0": "t",
		"XREADGROUP GROUP g c COUNT 1 STREAMS t >": "t", "XREADGROUP GROUP g c": "", "PING": "", "XINFO STREAM": "",
	} {
		var all []any
		for _, word := range strings.Fields(args) {
			all = append(all, word)
		}
		if got, ok := topicOf(redis.NewCmd(ctx, all...)); got != want || ok != (want != "") {
			t.Errorf("%s is about %q", args, got)
		}
	}
}

// Whatever a server replies to CLUSTER SLOTS, every slot that has a master has one that
// is among the servers.
func FuzzSlotMap(f *testing.F) {
	f.Add("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n")
	f.Add("*2\r\n*4\r\n:0\r\n:1\r\n*4\r\n$0\r\n\r\n:7000\r\n$1\r\nx\r\n*0\r\n*2\r\n$1\r\n?\r\n:7001\r\n*3\r\n:5\r\n:2\r\n*2\r\n$-1\r\n:1\r\n")
	f.Add("*1\r\n*3\r\n:-1\r\n:99999\r\n*1\r\n$1\r\na\r\n")
	f.Add("-ERR This instance has cluster support disabled\r\n")
	f.Fuzz(func(t *testing.T, reply string) {
		client, server := net.Pipe()
		go func() {
			_, _ = fmt.Fprint(server, reply)
			_ = server.Close()
		}()
		conn := NewConn(client, time.Second)
		defer conn.Close()
		m, err := readSlotMap(conn, "10.0.0.1:6379")
		if err != nil {
			return
		}
		for slot, addr := range m.owners {
			if addr != "" && !slices.Contains(m.nodes, addr) {
				t.Fatalf("slot %d is at %q, which is no server of %q", slot, addr, m.nodes)
			}
		}
	})
}
