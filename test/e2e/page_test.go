package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A page is testdata/page.html with the client of clients/js, in a browser
// without a window. It comes from, and reports to, a server of its own, so
// that what happens to its connections with the nodes does not concern the
// reports.
type page struct {
	t       *testing.T
	browser string // path
	server  *httptest.Server

	mu      sync.Mutex
	config  pageConfig         // guarded by mu
	devices map[string]*device // by way of connecting; guarded by mu, and so is what is in them
	online  bool               // the page is yet to be told; guarded by mu
	faults  []string           // guarded by mu
}

// pageConfig is what the page asks for.
type pageConfig struct {
	URL   string   `json:"url"`
	Token string   `json:"token"`
	Ways  []string `json:"ways"` // to connect: "ws", "sse"
}

// A device is one client on the page.
type device struct {
	way    string
	events []pageEvent
	last   int // number that arrived
	opens  int
	node   string // of the last hello
	up     bool   // what it was told last of the bus
}

// A pageEvent is what a client emitted: a message with its number, the reason
// of a gap, the node of a hello, the code of a close.
type pageEvent struct {
	Via, Kind, Text, As string
	N                   int
	Up                  bool
}

// newPage prepares a page; what is missing for it skips the test.
func newPage(t *testing.T, ways ...string) *page {
	t.Helper()
	p := &page{t: t, browser: needsBrowser(t), config: pageConfig{Ways: ways}, devices: make(map[string]*device)}
	for _, way := range ways {
		p.devices[way] = &device{way: way, up: true}
	}
	bundle := bundleClient(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "testdata/page.html") })
	mux.HandleFunc("GET /client.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, bundle) })
	mux.HandleFunc("GET /config", p.configure)
	mux.HandleFunc("POST /report", p.report)
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

// needsBrowser skips the test if there is no browser, and returns its path.
func needsBrowser(t *testing.T) string {
	t.Helper()
	browser := cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium")
	if _, err := exec.LookPath(browser); err != nil {
		t.Skipf("%s is not installed: run `make tools`, or name another in CHROMIUM", browser)
	}
	return browser
}

// bundleClient makes the one file of the client that is published, from the
// sources as they are now.
func bundleClient(t *testing.T) string {
	t.Helper()
	const dir = "../../clients/js"
	esbuild, err := filepath.Abs(dir + "/node_modules/.bin/esbuild")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath(esbuild); err != nil {
		t.Skip("the packages of clients/js are not installed: run `make tools`")
	}
	file := filepath.Join(t.TempDir(), "client.js")
	build := exec.Command(esbuild, "src/index.ts", "--bundle", "--format=esm", "--target=es2022", "--log-level=error", "--outfile="+file)
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building clients/js: %v\n%s", err, out)
	}
	return file
}

// origin is the page's, which nodes must allow.
func (p *page) origin() string { return p.server.URL }

// open starts the browser with the page, whose clients connect to host:port.
func (p *page) open(addr, token string) {
	p.t.Helper()
	p.mu.Lock()
	p.config.URL, p.config.Token = "http://"+addr, token
	p.mu.Unlock()
	openBrowser(p.t, p.browser, p.origin())
}

// openBrowser shows a page in a browser without a window, until the test ends.
func openBrowser(t *testing.T, browser, url string) {
	t.Helper()
	profile := t.TempDir()
	cmd := exec.Command(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad",
		"--user-data-dir="+profile, url)
	cmd.Env = append(os.Environ(), "HOME="+profile)
	running := start(t, "chromium", cmd)
	t.Cleanup(func() {
		// Asked to, it ends its own processes first, which still write their files.
		if running.running() {
			running.terminate()
			running.exit(20 * time.Second)
		}
	})
}

func (p *page) configure(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = json.NewEncoder(w).Encode(p.config)
}

func (p *page) report(w http.ResponseWriter, r *http.Request) {
	var events []pageEvent
	err := json.NewDecoder(r.Body).Decode(&events)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.faults = append(p.faults, "unreadable report: "+err.Error())
	}
	for _, e := range events {
		p.note(e)
	}
	_ = json.NewEncoder(w).Encode(map[string]bool{"online": p.online})
	p.online = false
}

// note keeps an event; mu is held.
func (p *page) note(e pageEvent) {
	d := p.devices[e.Via]
	if e.Kind == "error" || d == nil || e.Kind == "open" && e.As != e.Via {
		p.faults = append(p.faults, fmt.Sprintf("%s: %s (as %q)", e.Via, e, e.As))
		return
	}
	d.events = append(d.events, e)
	switch e.Kind {
	case "message":
		d.last = e.N
	case "open":
		d.opens, d.node = d.opens+1, e.Text
	case "bus":
		d.up = e.Up
	}
}

// wake has the page hear that the browser is online again, so that clients do
// not wait.
func (p *page) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.online = true
}

// each calls check for every client, and returns the first fault.
func (p *page) each(check func(*device) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, way := range p.config.Ways {
		if err := check(p.devices[way]); err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
	}
	return nil
}

// eventually waits until every client passes the check.
func (p *page) eventually(within time.Duration, what string, check func(*device) error) {
	p.t.Helper()
	eventually(p.t, within, what, func() error { return p.each(check) })
}

// reach waits until every client has the number.
func (p *page) reach(n int) {
	p.t.Helper()
	p.eventually(45*time.Second, fmt.Sprintf("number %d has arrived", n), func(d *device) error {
		if d.last < n {
			return fmt.Errorf("it is at %d; at the end it was told %v", d.last, d.tail())
		}
		return nil
	})
}

// opens returns how many connections every client has had.
func (p *page) opens() map[string]int {
	opens := make(map[string]int)
	_ = p.each(func(d *device) error { opens[d.way] = d.opens; return nil })
	return opens
}

// hasNoFaults reports what the page complained of.
func (p *page) hasNoFaults() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) > 0 {
		p.t.Errorf("the page complains:\n%s", strings.Join(p.faults, "\n"))
	}
}

// tail returns the last of what it was told, in short: numbers that follow each
// other are one.
func (d *device) tail() string {
	var all []string
	from, to := 0, -1
	numbers := func() {
		if to >= from {
			all = append(all, fmt.Sprintf("%d…%d", from, to))
		}
	}
	for _, e := range d.events {
		switch {
		case e.Kind == "message" && e.N == to+1:
			to = e.N
		case e.Kind == "message":
			numbers()
			from, to = e.N, e.N
		default:
			numbers()
			from, to = 0, -1
			all = append(all, strings.TrimSpace(e.String()))
		}
	}
	numbers()
	return strings.Join(all[max(0, len(all)-20):], ", ")
}

// String returns what the event says, without its client.
func (e pageEvent) String() string {
	switch e.Kind {
	case "close":
		return fmt.Sprintf("closed with %d %s", e.N, e.Text)
	case "bus":
		return fmt.Sprintf("bus up: %v", e.Up)
	}
	return e.Kind + " " + e.Text
}

// exactlyOnce says what is wrong if the events do not hold the numbers from 1
// to n, each once and in order, or tell of a gap.
func exactlyOnce(events []pageEvent, n int) error {
	next := 1
	for _, e := range events {
		switch {
		case e.Kind == "gap":
			return fmt.Errorf("gap %q before %d", e.Text, next)
		case e.Kind == "message" && e.N != next:
			return fmt.Errorf("got %d, want %d", e.N, next)
		case e.Kind == "message":
			next++
		}
	}
	if next != n+1 {
		return fmt.Errorf("the last is %d, want %d", next-1, n)
	}
	return nil
}

// noSilentLoss returns how many of the numbers from 1 to n are missing, and
// says what is wrong if one came twice or out of order, or if there was no gap
// between what came before a missing one and what came after it.
func noSilentLoss(events []pageEvent, n int) (lost int, err error) {
	last, gap := 0, ""
	pass := func(next int) error {
		if missing := next - last - 1; missing > 0 {
			if gap == "" {
				return fmt.Errorf("%d comes after %d, without a gap", next, last)
			}
			lost += missing
		}
		return nil
	}
	for _, e := range events {
		switch e.Kind {
		case "gap":
			gap = e.Text
		case "message":
			if e.N <= last || e.N > n {
				return lost, fmt.Errorf("got %d after %d, of %d", e.N, last, n)
			}
			if err := pass(e.N); err != nil {
				return lost, err
			}
			last, gap = e.N, ""
		}
	}
	return lost, pass(n + 1)
}

func TestNumbersAreJudged(t *testing.T) {
	for _, test := range []struct {
		came     string // numbers, and g for a gap
		lost     int
		silent   bool // a fault on any bus
		complete bool // no fault on a log
	}{
		{came: "1 2 3 4", complete: true},
		{came: "1 2 3", silent: true},
		{came: "2 3 4", silent: true},
		{came: "1 2 4", silent: true},
		{came: "1 g 2 4", silent: true},
		{came: "1 2 4 g", silent: true},
		{came: "1 2 2 3 4", silent: true},
		{came: "1 3 2 4", silent: true},
		{came: "1 2 3 4 5", silent: true},
		{came: "1 2 g 2 3 4", silent: true},
		{came: "1 g 2 3 4"},
		{came: "1 g 4", lost: 2},
		{came: "g 2 g 4", lost: 2},
		{came: "1 2 g", lost: 2},
	} {
		var events []pageEvent
		for _, word := range strings.Fields(test.came) {
			e := pageEvent{Kind: "gap", Text: "lossy"}
			if n, err := fmt.Sscan(word, &e.N); n == 1 && err == nil {
				e.Kind = "message"
			}
			events = append(events, pageEvent{Kind: "open"}, e)
		}
		if err := exactlyOnce(events, 4); (err == nil) != test.complete {
			t.Errorf("%s: exactly once: %v", test.came, err)
		}
		lost, err := noSilentLoss(events, 4)
		if (err != nil) != test.silent || err == nil && lost != test.lost {
			t.Errorf("%s: %d lost, %v", test.came, lost, err)
		}
	}
}
