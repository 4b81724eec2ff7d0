package clients_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
)

// TestNodesAreReplacedUnderLoad lets each client listen while the node that it is
// connected to drains, and the next one takes its place, three times. It must get every
// message once, in order, and no gap.
func TestNodesAreReplacedUnderLoad(t *testing.T) {
	for name, open := range map[string]func(*testing.T) opener{
		"Go": func(*testing.T) opener { return openGo },
		"Python": func(t *testing.T) opener {
			return program(t, []string{pythonPath(t)}, systemPython(t), pythonDir+"/tests/driver.py")
		},
		"JavaScript": func(t *testing.T) opener {
			node, err := exec.LookPath("node")
			if err != nil {
				t.Skip("node is not installed: run `make tools`")
			}
			return program(t, []string{"WEBSOCKET=ws"}, node, bundle(t, "node.ts", "node"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replaceNodes(t, open(t))
		})
	}
}

const (
	replacements = 3
	perNode      = 60                    // messages
	between      = 10 * time.Millisecond // two messages
)

func replaceNodes(t *testing.T, open opener) {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	r := &rolling{t: t, bus: memory.New(memory.Config{})}
	defer r.bus.Close()
	front := httptest.NewServer(r)
	defer front.Close()
	r.replace(ctx)

	pipe, err := open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	lines := make(chan map[string]any, 10_000)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(pipe); in.Scan(); {
			var line map[string]any
			if json.Unmarshal(in.Bytes(), &line) == nil {
				lines <- line
			}
		}
	}()
	start := fmt.Sprintf(`{"do":"start","url":"%s/?user=alice","systems":["orders"]}`, front.URL)
	if _, err := fmt.Fprintln(pipe, start); err != nil {
		t.Fatal(err)
	}
	await(t, lines, "open")
	published := make(chan struct{})
	go func() {
		defer close(published)
		r.publish(ctx)
	}()
	defer func() { cancel(); <-published }()

	for want := range replacements * perNode {
		if line := await(t, lines, "message"); !says(line, want) {
			t.Errorf("the message %v came; want %d", line, want)
			break
		}
	}
	<-published
	_ = pipe.Close()
	for range lines { // until the driver has ended
	}
	r.wait()
}

// await returns the next event of a kind. A gap, or the end, is a fault.
func await(t *testing.T, lines <-chan map[string]any, kind string) map[string]any {
	t.Helper()
	over, last := time.After(60*time.Second), map[string]any(nil)
	for {
		select {
		case line, ok := <-lines:
			last = line
			switch {
			case !ok || line["e"] == "gap" || line["e"] == "ended":
				t.Fatalf("the client told %v; want %s", line, kind)
			case line["e"] == kind:
				return line
			}
		case <-over:
			t.Fatalf("the client did not tell of a %s; last was %v", kind, last)
		}
	}
}

func says(line map[string]any, n int) bool {
	data, _ := line["data"].(map[string]any)
	return data["n"] == float64(n)
}

// rolling is a load balancer in front of the newest node.
type rolling struct {
	t     *testing.T
	bus   *memory.Bus
	node  atomic.Pointer[fanfare.Node]
	count int
	stop  context.CancelFunc // drains the newest node
	ended []chan error       // of each node
}

func (r *rolling) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.node.Load().ServeHTTP(w, q) }

// replace starts a node, sends new clients there, and lets the last one drain.
func (r *rolling) replace(ctx context.Context) {
	r.count++
	node, err := fanfare.New(ctx, fanfare.Config{Dev: true, Drain: 2 * time.Second, Node: fmt.Sprint("n", r.count)},
		fanfare.WithDriver(r.bus.Driver()), fanfare.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		r.t.Errorf("starting a node: %v", err)
		return
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- node.Run(running) }()
	r.ended = append(r.ended, ended)
	ask := time.NewTicker(10 * time.Millisecond)
	defer ask.Stop()
	for answer := 0; answer != http.StatusOK && ctx.Err() == nil; {
		w, q := httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/readyz", nil)
		q.RemoteAddr = "127.0.0.1:1" // a node without tokens answers this machine alone
		node.ServeHTTP(w, q)
		if answer = w.Code; answer != http.StatusOK {
			<-ask.C
		}
	}
	r.node.Store(node)
	if r.stop != nil {
		r.stop()
	}
	r.stop = stop
}

// publish publishes all messages, and replaces the node in between.
func (r *rolling) publish(ctx context.Context) {
	tick := time.NewTicker(between)
	defer tick.Stop()
	for n := range replacements * perNode {
		if n%perNode == perNode/2 {
			r.replace(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		message := fanfare.Message{To: []string{"user:alice"}, Data: map[string]int{"n": n}}
		if _, err := r.node.Load().Publish(ctx, "orders", message); err != nil && ctx.Err() == nil {
			r.t.Errorf("publishing %d: %v", n, err)
		}
	}
}

// wait drains the last node, and waits for the end of all.
func (r *rolling) wait() {
	r.stop()
	for _, ended := range r.ended {
		if err := <-ended; err != nil {
			r.t.Errorf("a node ended with %v", err)
		}
	}
}
