package seam_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/examples/seam"
	"github.com/fanfarebus/fanfare/test/broker"
)

// A load is how the loading of one page went.
type load struct {
	At    int    // the newest change that the page had seen
	Items int    // how many items there were then
	Wrong int    // how many of them the page had not, or in another version
	Gaps  int    // how many gaps it was told
	Error string // why it could not be loaded
}

// TestPagesMissNothing loads the page 1,000 times while the state changes.
func TestPagesMissNothing(t *testing.T) {
	w := newWorld(t)
	script := bundle(t, "node.mjs", "node", seamless(t, "", ""))
	from, began := w.changes.Load(), time.Now()
	all := w.loadInNode(t, script, 1000)
	wrong, gaps := judge(t, all, 1000)
	rate := float64(w.changes.Load()-from) / time.Since(began).Seconds()
	t.Logf("%d loads in %v, while %.0f changes a second were made", len(all), time.Since(began).Round(time.Second), rate)
	if wrong > 0 {
		t.Errorf("%d pages had not the state of the service", wrong)
	}
	if gaps > len(all)/10 { // such pages read the state again, and prove nothing
		t.Errorf("%d of %d pages were told a gap", gaps, len(all))
	}
}

// TestWithoutTheSeamPagesMissChanges shows that the check of the other test finds pages that
// connect without the cursor.
func TestWithoutTheSeamPagesMissChanges(t *testing.T) {
	w := newWorld(t)
	script := bundle(t, "node.mjs", "node", seamless(t, `systems: ["board"], from: { board: cursor }`, `systems: ["board"]`))
	wrong, _ := judge(t, w.loadInNode(t, script, 10), 10)
	t.Logf("%d of 10 pages had not the state of the service", wrong)
	if wrong < 10 { // slowly makes sure of each of them
		t.Errorf("%d pages had the state of the service without the seam: the test proves nothing", 10-wrong)
	}
}

// TestInABrowser loads the page in Chromium: some times as in the other test, and once as a
// user sees it.
func TestInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs a browser: left out with -short; `make test` runs it")
	}
	browser := cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium")
	if _, err := exec.LookPath(browser); err != nil {
		t.Skipf("%s is not installed: run `make tools`", browser)
	}
	w := newWorld(t)
	w.scripts.Store("loads.js", bundle(t, "browser.mjs", "browser", seamless(t, "", "")))
	w.scripts.Store("page.js", bundle(t, "../page.mjs", "browser", seamless(t, "", "")))
	w.startBrowser(t, browser, w.URL+"/loads.html?count=4")
	var all []load
	for range 4 + 1 { // the last one is the page in the frame
		all = append(all, w.await(t))
	}
	if wrong, _ := judge(t, all, 4+1); wrong > 0 {
		t.Errorf("%d pages had not the state of the service", wrong)
	}
}

// judge returns how many of the pages were wrong, and how many were told a gap. Every load
// must have come to its end, and there must be as many as are wanted.
func judge(t *testing.T, all []load, want int) (wrong, gaps int) {
	t.Helper()
	if len(all) != want {
		t.Errorf("%d loads have come to an end; want %d", len(all), want)
	}
	for _, l := range all {
		switch {
		case l.Error != "":
			t.Errorf("a page could not be loaded: %s", l.Error)
		case l.Items != items:
			t.Errorf("at change %d there were %d items; want %d", l.At, l.Items, items)
		case l.Gaps > 0:
			gaps++
		case l.Wrong > 0:
			wrong++
		}
	}
	return wrong, gaps
}

const (
	items      = 200
	perSecond  = 500 // changes
	mostAtOnce = 50  // changes, after a pause
	// slowness is how many changes are made while the answer with the state is on its way.
	slowness = 3
	patience = 4 * time.Minute
)

// A world has a service whose state changes, and two nodes, behind one address.
type world struct {
	*httptest.Server
	board   *seam.Board
	changes atomic.Int64   // the newest that was made, and may not be published yet
	heard   []atomic.Int64 // the newest that came from each node
	scripts sync.Map       // the files of scripts, by their names in addresses
	told    chan load      // what the browser tells
	turn    atomic.Int64
}

func newWorld(t *testing.T) *world {
	if testing.Short() {
		t.Skip("it needs more than Go: left out with -short; `make test` runs it")
	}
	t.Parallel()
	redis := broker.Redis(t)
	nodes := []*fanfare.Node{newNode(t, redis), newNode(t, redis)}
	w := &world{told: make(chan load, 100), heard: make([]atomic.Int64, len(nodes))}
	w.board = seam.New(func(ctx context.Context, msgs ...fanfare.Message) error {
		_, err := nodes[0].Publish(ctx, seam.System, msgs...)
		return err
	})
	for i, node := range nodes {
		w.hear(t, node, &w.heard[i])
	}
	state := w.board.Handler()
	mux := http.NewServeMux()
	mux.Handle("/", state)
	mux.HandleFunc("GET /state", func(rw http.ResponseWriter, r *http.Request) { w.slowly(rw, r, state) })
	mux.HandleFunc("GET /truth", w.truth)
	mux.HandleFunc("GET /loads.html", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, `<!doctype html><iframe src="/"></iframe><script type="module" src="loads.js"></script>`)
	})
	mux.HandleFunc("GET /loads.js", w.script)
	mux.HandleFunc("GET /page.js", w.script)
	mux.HandleFunc("POST /told", w.tell)
	for _, path := range []string{"/v1/", "/ws", "/sse"} {
		mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
			nodes[int(w.turn.Add(1))%len(nodes)].ServeHTTP(rw, r)
		})
	}
	w.Server = httptest.NewServer(mux)
	t.Cleanup(w.Close)
	w.change(t, items)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		w.keepChanging(t, stop)
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	return w
}

func newNode(t *testing.T, redis *broker.RedisServer) *fanfare.Node {
	node, err := fanfare.New(t.Context(), fanfare.Config{
		Dev: true, Transport: redis.URL("redis-streams"), Systems: []string{seam.System}, Drain: time.Millisecond,
	}, fanfare.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	until(t, "the node is ready", func() bool {
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/readyz", nil)
		r.RemoteAddr = "127.0.0.1:1" // a node without tokens answers this machine alone
		node.ServeHTTP(w, r)
		return w.Code == http.StatusOK
	})
	return node
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	every := time.NewTicker(5 * time.Millisecond)
	defer every.Stop()
	for end := time.Now().Add(patience); !is(); <-every.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// change makes the next changes: that with the number n, which is its version, is of item
// n % items.
func (w *world) change(t *testing.T, count int) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	made := int(w.changes.Add(int64(count))) - count
	next := make([]seam.Item, count)
	for i := range next {
		n := made + i + 1
		next[i] = seam.Item{Name: nameOf(n), Value: strconv.Itoa(n)}
	}
	if err := w.board.Set(ctx, next...); err != nil {
		t.Errorf("after change %d: %v", made, err)
		return false
	}
	return true
}

func nameOf(n int) string { return fmt.Sprint("item-", n%items) }

// keepChanging makes as many changes as are due, again and again.
func (w *world) keepChanging(t *testing.T, stop <-chan struct{}) {
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	began, made := time.Now(), 0
	for {
		select {
		case <-every.C:
		case <-stop:
			return
		}
		due := min(int(time.Since(began).Seconds()*perSecond)-made, mostAtOnce)
		if due <= 0 {
			continue
		}
		if !w.change(t, due) {
			return
		}
		made += due
	}
}

// hear listens to the changes from a node, until the test ends.
func (w *world) hear(t *testing.T, node http.Handler, newest *atomic.Int64) {
	server := httptest.NewServer(node)
	c, err := client.New(client.Config{
		URL: server.URL + "/?user=witness", Systems: []string{seam.System},
		Handler: client.Handler{Message: func(_ context.Context, m *client.Message) error {
			var item seam.Item
			err := json.Unmarshal(m.Data, &item)
			newest.Store(int64(item.Version))
			return err
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		server.Close()
	})
}

// slowly answers with the state as it was when the request came, after both nodes have
// brought some more changes.
func (w *world) slowly(rw http.ResponseWriter, r *http.Request, state http.Handler) {
	answer := httptest.NewRecorder()
	state.ServeHTTP(answer, r)
	every := time.NewTicker(time.Millisecond)
	defer every.Stop()
	enough := w.changes.Load() + slowness
	for i := range w.heard {
		for w.heard[i].Load() < enough {
			select {
			case <-every.C:
			case <-r.Context().Done():
				return
			}
		}
	}
	rw.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
	rw.Header().Set("Cache-Control", answer.Header().Get("Cache-Control"))
	_, _ = rw.Write(answer.Body.Bytes())
}

// truth answers with the version that each item had after a change.
func (w *world) truth(rw http.ResponseWriter, r *http.Request) {
	at, err := strconv.Atoi(r.URL.Query().Get("at"))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	versions := make(map[string]int)
	for n := max(1, at-items+1); n <= at; n++ {
		versions[nameOf(n)] = n
	}
	_ = json.NewEncoder(rw).Encode(versions) // an error means that the page has gone
}
