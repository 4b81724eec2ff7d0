package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/test/broker"
)

const (
	factsBound  = 10_000 // of the nodes
	factsMemory = 300    // MiB that a node may take more than before: the race detector takes its part
)

// hostileFacts are what somebody makes up. The race detector makes a node take ten times as
// long for each.
func hostileFacts() int {
	if raceDetector {
		return 2 * factsBound
	}
	return 10 * factsBound
}

// A controlTopic is written and read by somebody who is no node.
type controlTopic struct {
	t      *testing.T
	rdb    *redis.Client
	stream bool

	mu    sync.Mutex
	heard []string // on a channel; guarded by mu
}

const controlTopicName = "fanfare._control"

// newControlTopic begins to listen, so that nothing is missed on a channel.
func newControlTopic(t *testing.T, r *broker.RedisServer, stream bool) *controlTopic {
	t.Helper()
	w := &controlTopic{t: t, rdb: r.Client(), stream: stream}
	if stream {
		return w
	}
	sub := w.rdb.Subscribe(t.Context(), controlTopicName)
	_, err := sub.Receive(t.Context())
	must(t, err)
	var listening sync.WaitGroup
	t.Cleanup(func() { sub.Close(); listening.Wait() })
	listening.Go(func() {
		for m := range sub.Channel(redis.WithChannelSize(100_000)) {
			w.mu.Lock()
			w.heard = append(w.heard, m.Payload)
			w.mu.Unlock()
		}
	})
	return w
}

// recorded returns what the topic has carried.
func (w *controlTopic) recorded() (payloads []string) {
	w.t.Helper()
	if !w.stream {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Clone(w.heard)
	}
	entries, err := w.rdb.XRange(context.Background(), controlTopicName, "-", "+").Result()
	must(w.t, err)
	for _, e := range entries {
		payload, _ := e.Values["payload"].(string)
		payloads = append(payloads, payload)
	}
	return payloads
}

// write puts payloads on the topic.
func (w *controlTopic) write(payloads ...string) {
	w.t.Helper()
	for part := range slices.Chunk(payloads, 200) {
		pipe := w.rdb.Pipeline()
		for _, payload := range part {
			if w.stream {
				pipe.XAdd(context.Background(), &redis.XAddArgs{Stream: controlTopicName, Values: []string{"payload", payload}})
			} else {
				pipe.Publish(context.Background(), controlTopicName, payload)
			}
		}
		_, err := pipe.Exec(context.Background())
		must(w.t, err)
	}
}

// Whoever can write to the bus can write to the control topic. Garbage, old and forged
// messages do not end a node, do not take its memory, and do not bring a dead node and
// its users back.
func TestHostileControlMessages(t *testing.T) {
	needs(t, "redis-server")
	for _, scheme := range []string{"redis-streams", "redis"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r := broker.Redis(t)
			topic := newControlTopic(t, r, scheme == "redis-streams")
			more := settings{"CONTROL_FACTS": fmt.Sprint(factsBound)}
			for name, value := range impatient {
				more[name] = value
			}
			c := newCluster(t, 3, r.URL(scheme), more)
			p := c.controlled()
			dead := c.nodes[2]
			p.crowd(t, dead.addr, "", []string{"ghost1", "ghost2", "ghost3"})
			p.crowd(t, c.nodes[0].addr, "", []string{"alice", "bob"})
			p.wantPresent(t, 20*time.Second, "", "alice", "bob", "ghost1", "ghost2", "ghost3")
			p.everywhere(t, p.front, http.MethodPut, "/v1/users/mallory/block", `{"reason":"fraud","ttl":3600}`)
			dead.kill()
			p.nodes = p.nodes[:2]
			unmoved := func(after string) {
				t.Helper()
				// Its answer stands behind all that was written before.
				p.command(t, p.front, http.MethodPost, "/v1/users/nobody/disconnect", "")
				for _, n := range p.nodes {
					p.wantLive(t, 60*time.Second, n, p.names()...)
				}
				p.wantPresent(t, 60*time.Second, "", "alice", "bob")
				p.wantRefused(t, p.nodes[1], p.pass("mallory", nil), http.StatusForbidden, "blocked")
				p.everywhere(t, p.front, http.MethodPost, "/v1/users/nobody/disconnect", "")
				t.Logf("after %s the nodes take %v MiB, and have taken %v of processor time", after, memories(c), processorTimes(c))
			}
			unmoved("the death")
			before := memories(c)

			recorded := topic.recorded()
			if !slices.ContainsFunc(recorded, func(m string) bool { return strings.Contains(m, `"ghost2"`) }) {
				t.Fatalf("the record of %d messages lacks the dead node's: %.500q", len(recorded), recorded)
			}
			for range 3 {
				topic.write(recorded...)
			}
			p.neverBack(t, dead.name, 2*time.Second)
			unmoved("replayed messages")

			h := seeded(t)
			topic.write(h.control(poisons, recorded)...)
			unmoved("garbage")
			topic.write(h.facts()...)
			topic.write(h.strangers()...)
			unmoved("facts and heartbeats that somebody made up")
			for i, n := range c.nodes[:2] {
				if facts := n.metric("fanfare_control_facts"); facts > factsBound {
					t.Errorf("%s has %v facts", n.name, facts)
				}
				if now := memories(c); now[i] > before[i]+factsMemory {
					t.Errorf("%s takes %v MiB, and took %v", n.name, now[i], before[i])
				}
				if panics := n.metric("fanfare_panics_total"); panics != 0 {
					t.Errorf("%s has panicked %v times", n.name, panics)
				}
			}
		})
	}
}

// neverBack looks for a while whether a node is said to live, or its users to be there.
func (p *controlled) neverBack(t *testing.T, name string, during time.Duration) {
	t.Helper()
	over := time.After(during)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, n := range p.nodes {
			if live, err := p.live(n.addr); err != nil || slices.Contains(live, name) {
				t.Fatalf("%s says that these live: %v, %v", n.name, live, err)
			}
			if w, err := p.who(n.addr, ""); err != nil || len(w.Users) != 2 {
				t.Fatalf("%s says that these are there: %v, %v", n.name, w.names(), err)
			}
		}
		select {
		case <-tick.C:
		case <-over:
			return
		}
	}
}

// memories returns how much the nodes that run take, in MiB.
func memories(c *cluster) (all []int) {
	for _, n := range c.nodes {
		if !n.running() {
			continue
		}
		var pages int
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.cmd.Process.Pid))
		if err == nil {
			_, err = fmt.Sscan(string(stat), new(int), &pages)
		}
		must(c.t, err)
		all = append(all, pages*os.Getpagesize()>>20)
	}
	return all
}

// processorTimes returns how much processor time the nodes that run have taken.
func processorTimes(c *cluster) (all []time.Duration) {
	for _, n := range c.nodes {
		if !n.running() {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.cmd.Process.Pid))
		must(c.t, err)
		_, rest, _ := strings.Cut(string(stat), ") ")
		var user, system int64
		fields := strings.Fields(rest)
		_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
		must(c.t, err)
		all = append(all, time.Duration(user+system)*10*time.Millisecond) // ticks of 10 ms
	}
	return all
}

// control makes messages that are none, and recorded ones with mistakes.
func (h hostile) control(n int, recorded []string) (payloads []string) {
	for range n {
		switch b := []byte(recorded[h.IntN(len(recorded))]); h.IntN(4) {
		case 0:
			payloads = append(payloads, h.envelope())
		case 1:
			payloads = append(payloads, string(b[:h.IntN(len(b))]))
		case 2: // not what was said: the sender, the number and the time are as they were
			for range 1 + h.IntN(4) {
				b[h.IntN(len(b))] = byte(h.Uint32())
			}
			payloads = append(payloads, string(b))
		default:
			payloads = append(payloads, h.section())
		}
	}
	return payloads
}

// section is a message of which a part is wrong.
func (h hostile) section() string {
	number := func() string {
		return h.pick("-1", "0", "1", "1.5", "1e30", "9223372036854775807", "18446744073709551616", "null", `"1"`)
	}
	text := func() string {
		return h.pick(`""`, `"x"`, `"\ud800"`, `"a\u0000"`, `"`+strings.Repeat("x", 70_000)+`"`, "7", "null", "{}")
	}
	section := h.pick(
		`"beat":{"version":`+text()+`,"sessions":`+number()+`,"users":`+number()+`,"systems":[`+text()+`],"facts":{"n":`+number()+`,"digest":`+text()+`}}`,
		`"rows":[["orders","","ghost1",`+number()+`],["orders",`+text()+`,"ghost2",1],[`+text()+`],`+number()+`]`,
		`"snap":{"id":`+number()+`,"part":`+number()+`,"last":true,"rows":[["orders","","ghost3",`+number()+`]]}`,
		`"facts":[{"k":["block",`+text()+`],"until":`+number()+`,"ver":[`+number()+`,`+number()+`,`+text()+`]},`+text()+`]`,
		`"facts":[{"k":["member","orders",`+text()+`,"alice"],"v":{"reason":`+text()+`},"until":`+number()+`,"ver":[`+number()+`,0,"x"],"del":`+number()+`}]`,
		`"ack":[`+text()+`],"sync":[`+text()+`,`+text()+`],"bye":`+number(),
		`"buckets":{"to":`+text()+`,"digests":`+text()+`}`,
		`"beat":`+strings.Repeat("[", 10_000), `"beat":`+strings.Repeat(`{"a":`, 5_000))
	return fmt.Sprintf(`{"v":1,"node":%s,"inc":%s,"seq":%s,"at":%s,%s}`, text(), text(), number(), number(), section)
}

// facts makes many facts about people whom nobody knows, said by a node that never was.
func (h hostile) facts() (payloads []string) {
	const each = 200
	for m := range hostileFacts() / each {
		var b strings.Builder
		at := time.Now().UnixMilli()
		fmt.Fprintf(&b, `{"v":1,"node":"nobody","inc":"01HOSTILE%017d","seq":%d,"at":%d,"facts":[`, h.IntN(20), m+1, at)
		for i := range each {
			if i > 0 {
				b.WriteByte(',')
			}
			kind := h.pick(`"block"`, `"revoke_user"`, `"member","orders","hall"`, `"disconnect"`)
			fmt.Fprintf(&b, `{"k":[%s,"stranger%d"],"v":{"reason":"%x"},"until":%d,"ver":[%d,%d,"nobody"]}`,
				kind, h.Uint64(), h.Uint64(), at+h.Int64N(1e12), at, i)
		}
		payloads = append(payloads, b.String()+"]}")
	}
	return payloads
}

// strangers are heartbeats and rows of nodes that never were, with clocks that are ten
// minutes off.
func (h hostile) strangers() (payloads []string) {
	for i := range 1000 {
		at := time.Now().Add(time.Duration(i%3-1) * 10 * time.Minute).UnixMilli()
		row, _ := json.Marshal([]any{"orders", "", fmt.Sprintf("phantom%d", i), 1 + i%3})
		payloads = append(payloads, fmt.Sprintf(`{"v":1,"node":"phantom","inc":"01PHANTOM%017d","seq":%d,"at":%d,"rows":[%s],`+
			`"beat":{"version":"x","sessions":1,"users":1,"systems":["orders"],"lag_ms":0,"ready":true,`+
			`"facts":{"n":5,"digest":"0123456789abcdef"},"rows":{"n":1,"digest":"0123456789abcdef"}}}`, i, 1+h.IntN(1000), at, row))
	}
	return payloads
}
