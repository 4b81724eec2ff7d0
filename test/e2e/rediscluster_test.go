package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
)

// While messages are published over HTTP, a slot of a Redis Cluster is moved, and then
// its master is killed. Sessions on all nodes get every message that was confirmed, once
// and in order, or one gap in its place: none for the move, and one for the failover.
func TestARedisClusterUnderLoad(t *testing.T) {
	needs(t, "redis-server")
	t.Parallel()
	const topic = "fanfare.orders"
	r := broker.NewRedisCluster(t, 3)
	c := newCluster(t, 3, r.URL("redis-streams"), nil)
	var sessions []*visitor
	for i := range c.nodes {
		sessions = append(sessions, visit(t, c, i, ""))
	}

	var confirmed atomic.Int64 // the numbers up to this one are
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for n := int64(1); ; {
			a, err := c.post("orders", fmt.Sprintf(`{"id":"n%d","to":"user:alice","data":%d}`, n, n))
			if err == nil && a.status == http.StatusAccepted {
				confirmed.Store(n)
				n++
			}
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	defer publishing.Wait()
	defer close(stop) // not before: what comes behind a gap is only heard if more is published
	more := func(what string) int64 {
		t.Helper()
		want := confirmed.Load() + 30
		eventually(t, 30*time.Second, what, func() error {
			if n := confirmed.Load(); n < want {
				return fmt.Errorf("%d of %d are confirmed", n, want)
			}
			return nil
		})
		return confirmed.Load()
	}
	more("messages are published")
	to := r.Other(topic)
	from := r.BeginMove(topic, to)
	more("a slot is about to move")
	r.MoveKeys(topic, from, to)
	more("a slot is being moved")
	r.FinishMove(topic, from, to)
	moved := more("a slot has moved")
	last := make([]int64, len(sessions))
	// hear reads what a session gets up to a number, and returns how many gaps it is told.
	hear := func(i int, until int64) (gaps int) {
		t.Helper()
		must(t, sessions[i].SetReadDeadline(time.Now().Add(20*time.Second)))
		for last[i] < until {
			m, err := sessions[i].next("message")
			if err != nil && err.Error() == "a gap: unknown_cursor" {
				gaps++
				continue
			}
			if err != nil {
				t.Fatalf("node %d, after %d: %v", i, last[i], err)
			}
			n, err := strconv.ParseInt(string(m.Data), 10, 64)
			if err != nil || n <= last[i] || n > last[i]+1 && gaps == 0 {
				t.Fatalf("node %d: %s came after %d, with %d gaps, %v", i, m.Data, last[i], gaps, err)
			}
			last[i] = n
		}
		return gaps
	}
	for i := range sessions {
		if gaps := hear(i, moved); gaps != 0 {
			t.Errorf("node %d told %d gaps for the move", i, gaps)
		}
	}
	replica := r.Replica(to)
	to.Kill()
	r.AwaitMaster(topic, replica)
	enough := more("a replica has taken over")
	for i := range sessions {
		if gaps := hear(i, enough); gaps != 1 {
			t.Errorf("node %d told %d gaps for the failover", i, gaps)
		}
	}
}
