package cluster_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/test/cluster"
)

// An endpoint notes what is posted to it.
type endpoint struct {
	mu    sync.Mutex
	order []int          // data, without repetitions
	times map[string]int // by webhook-id
}

func (e *endpoint) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var said struct{ Data int }
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &said) != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	id := r.Header.Get("webhook-id")
	if e.times[id]++; e.times[id] == 1 {
		e.order = append(e.order, said.Data)
	}
}

// all returns the data of what came, without repetitions, and last that of the last one; -1:
// nothing came.
func (e *endpoint) all() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.order)
}

func (e *endpoint) last() int {
	all := append([]int{-1}, e.all()...)
	return all[len(all)-1]
}

// repeated returns how many requests were repetitions.
func (e *endpoint) repeated() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, times := range e.times {
		n += times - 1
	}
	return n
}

// Of three nodes with the same webhooks one posts, in order, and once where the bus has no
// groups to share among. When it dies another goes on, and on a log nothing is lost.
func TestOneOfThreeNodesPostsToTheirWebhooks(t *testing.T) {
	for name, opts := range map[string][]cluster.Option{"log": nil, "lossy": {cluster.Lossy()}} {
		t.Run(name, func(t *testing.T) { testOnePosts(t, name == "log", opts) })
	}
}

func testOnePosts(t *testing.T, keeps bool, opts []cluster.Option) {
	e := &endpoint{times: map[string]int{}}
	server := httptest.NewServer(e)
	defer server.Close()
	opts = append(opts, cluster.Patience(30*time.Second), cluster.Configure(func(cfg *fanfare.Config) {
		cfg.Webhooks = []fanfare.Webhook{{
			Name: "crm", URL: server.URL, Systems: []string{"chat"}, Inbound: true,
			Secrets: []fanfare.Secret{"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
		}}
	}))
	c := cluster.Start(t, 3, opts...)
	alice := c.Node(2).Client("alice", "chat")
	sent := 0
	send := func(n int) {
		for range n {
			alice.Send("chat", client.Sending{Data: sent})
			sent++
		}
	}
	until(t, "the first delivery", func() bool { send(1); return e.last() >= 0 })
	before := sent
	send(30)
	until(t, "the others", func() bool { return e.last() == sent-1 })
	c.Node(0).Crash() // the earliest one
	send(30)
	until(t, "another to go on", func() bool {
		if !keeps {
			send(1)
		}
		return e.last() >= before+60-1
	})
	last := -1
	for _, n := range e.all() {
		if n <= last || (keeps || last >= before && n < before+30) && n != last+1 {
			t.Errorf("%d came after %d", n, last)
		}
		last = n
	}
	if n := e.repeated(); n > 1 { // the one that was under way at the crash
		t.Errorf("%d deliveries were repeated", n)
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it did not happen in time: %s", what)
		}
	}
}
