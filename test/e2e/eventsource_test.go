package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// The EventSources of a browser, without a client library, survive the drain of the
// only node, its absence and its return, with each proxy and without.
func TestNativeEventSourcesOutliveTheOnlyNode(t *testing.T) {
	for _, front := range append([]string{"node"}, proxies...) {
		t.Run(front, func(t *testing.T) {
			t.Parallel()
			browser := needsBrowser(t)
			p := newSources(t)
			c := newCluster(t, 1, "memory://", settings{"ORIGINS": p.server.URL, "AUTH_QUERY_TOKEN": "true", "DRAIN": "2s"})
			c.behind(front)
			p.connectTo("http://" + c.front + "/sse?systems=orders&token=" + c.token("alice", "orders"))
			openBrowser(t, browser, p.server.URL)
			p.allOpen("at first", 1)

			n := c.nodes[0]
			n.terminate()
			if code := n.exit(20 * time.Second); code != 0 {
				t.Errorf("exit code %d after SIGTERM", code)
			}
			<-time.After(2 * time.Second) // they try, and nobody is there
			c.restart(n)
			p.allOpen("after the restart", 2)
		})
	}
}

// An EventSource that reconnects to a node that drains slowly is not lost.
func TestNativeEventSourcesOutliveALongDrain(t *testing.T) {
	browser := needsBrowser(t)
	p := newSources(t)
	c := newCluster(t, 1, "memory://", settings{"ORIGINS": p.server.URL, "AUTH_QUERY_TOKEN": "true", "DRAIN": "8s"})
	p.connectTo("http://" + c.front + "/sse?systems=orders&token=" + c.token("alice", "orders"))
	openBrowser(t, browser, p.server.URL)
	p.allOpen("at first", 1)
	holdOn(t, c) // so that the drain lasts
	n := c.nodes[0]
	n.terminate()
	eventually(t, 20*time.Second, "some were sent away by the draining node", func() error {
		if !n.running() {
			t.Fatal("the drain was over before an EventSource came back to it")
		}
		if sent := n.metric("fanfare_sse_sent_away_total"); sent == 0 {
			return fmt.Errorf("none was")
		}
		return nil
	})
	n.exit(20 * time.Second)
	c.restart(n)
	p.allOpen("after the restart", 2)
}

// holdOn opens sessions that stretch a drain.
func holdOn(t *testing.T, c *cluster) {
	for i := range 20 {
		token := c.token(fmt.Sprint("u", i), "orders")
		answer, err := http.Get("http://" + c.front + "/sse?systems=orders&token=" + token)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
	}
}

// sources is a page with some EventSources.
type sources struct {
	t      *testing.T
	server *httptest.Server

	mu      sync.Mutex
	address string        // where the EventSources connect to; guarded by mu
	states  []sourceState // as the page said last; guarded by mu
}

// A sourceState is what an EventSource says of itself: 0 connecting, 1 open, 2
// closed for good; and how often a hello came.
type sourceState struct{ State, Hellos int }

const sourcesPage = `<!doctype html><script type="module">
const address = await (await fetch("/address")).text();
const sources = Array.from({ length: 5 }, () => {
  const s = { source: new EventSource(address), hellos: 0 };
  s.source.onmessage = e => { if (JSON.parse(e.data).op === "hello") s.hellos++; };
  return s;
});
setInterval(() => fetch("/states", { method: "POST",
  body: JSON.stringify(sources.map(s => ({ State: s.source.readyState, Hellos: s.hellos }))) }), 100);
</script>`

func newSources(t *testing.T) *sources {
	p := &sources{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, sourcesPage)
	})
	mux.HandleFunc("GET /address", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		fmt.Fprint(w, p.address)
	})
	mux.HandleFunc("POST /states", func(_ http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = json.NewDecoder(r.Body).Decode(&p.states)
	})
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

func (p *sources) connectTo(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.address = address
}

// allOpen waits until all are open and have had so many hellos.
func (p *sources) allOpen(when string, hellos int) {
	p.t.Helper()
	eventually(p.t, 40*time.Second, "all are open "+when, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, s := range p.states {
			switch {
			case s.State == 2:
				p.t.Fatalf("%s: an EventSource has ended for good: %v", when, p.states)
			case s.State != 1 || s.Hellos < hellos:
				return fmt.Errorf("they are %v", p.states)
			}
		}
		if len(p.states) == 0 {
			return fmt.Errorf("the page has not said a word")
		}
		return nil
	})
}
