package clients_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestJavaScriptInChromium(t *testing.T) {
	browser := cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium")
	playBrowser(t, browser, func(profile, url string) *exec.Cmd {
		return exec.Command(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad",
			"--user-data-dir="+profile, url)
	})
}

func TestJavaScriptInFirefox(t *testing.T) {
	browser := cmp.Or(os.Getenv("FIREFOX"), "/usr/bin/firefox-esr")
	playBrowser(t, browser, func(profile, url string) *exec.Cmd {
		return exec.Command(browser, "--headless", "--no-remote", "--profile", profile, url)
	})
}

// A browser shows one page, in which each driver has a frame of its own.
type browser struct {
	*httptest.Server
	page chan struct{} // closed when the page is there
	once sync.Once

	mu      sync.Mutex
	control *websocket.Conn                 // of the page; guarded by mu
	number  int                             // of the newest driver; guarded by mu
	wanted  map[string]chan *websocket.Conn // the drivers that are to come; guarded by mu
}

func playBrowser(t *testing.T, path string, start func(profile, url string) *exec.Cmd) {
	skipIfShort(t)
	if _, err := exec.LookPath(path); err != nil {
		t.Skipf("%s is not installed: run `make tools`", path)
	}
	script := bundle(t, "page.ts", "browser")
	b := &browser{page: make(chan struct{}), wanted: make(map[string]chan *websocket.Conn)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><meta charset="utf-8"><title>driver</title><body><script type="module" src="driver.js"></script>`)
	})
	mux.HandleFunc("GET /driver.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		http.ServeFile(w, r, script)
	})
	mux.HandleFunc("GET /lines", b.lines)
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)

	profile := t.TempDir()
	preferFirefox(t, profile)
	cmd := start(profile, b.URL+"/")
	cmd.Env = append(os.Environ(), "HOME="+profile)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endBrowser(t, cmd) })
	play(t, b.open)
}

// preferFirefox writes settings that only Firefox reads: a new profile shows no pages of
// its own, and asks nobody for anything.
func preferFirefox(t *testing.T, profile string) {
	t.Helper()
	settings := `user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9/");
user_pref("media.gmp-manager.updateEnabled", false);
`
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
}

// endBrowser asks a browser to end: it ends its own processes first, which still write
// their files. One that does not is killed with all of them.
func endBrowser(t *testing.T, cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer kill.Stop()
	_ = cmd.Wait() // how it ends does not matter
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}

// lines takes the socket of the page, or that of a driver.
func (b *browser) lines(w http.ResponseWriter, r *http.Request) {
	ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	name := r.URL.Query().Get("driver")
	b.mu.Lock()
	defer b.mu.Unlock()
	if name == "" {
		b.control = ws
		b.once.Do(func() { close(b.page) })
		return
	}
	if wanted := b.wanted[name]; wanted != nil {
		delete(b.wanted, name)
		wanted <- ws // it holds one
	}
}

// open lets the page make a frame with a driver.
func (b *browser) open(ctx context.Context) (io.ReadWriteCloser, error) {
	select {
	case <-b.page:
	case <-ctx.Done():
		return nil, fmt.Errorf("the browser did not show the page: %w", ctx.Err())
	}
	b.mu.Lock()
	b.number++
	name, come := fmt.Sprint(b.number), make(chan *websocket.Conn, 1)
	b.wanted[name] = come
	err := b.control.WriteMessage(websocket.TextMessage, []byte(name))
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case ws := <-come:
		return &socketLines{ws: ws}, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the page made no driver: %w", ctx.Err())
	}
}

// socketLines reads and writes lines, each of which is a message of a WebSocket.
type socketLines struct {
	ws   *websocket.Conn
	rest []byte
}

func (s *socketLines) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		_, text, err := s.ws.ReadMessage()
		if err != nil {
			return 0, errors.Join(io.EOF, err)
		}
		s.rest = append(text, '\n')
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *socketLines) Write(p []byte) (int, error) {
	return len(p), s.ws.WriteMessage(websocket.TextMessage, p)
}

func (s *socketLines) Close() error { return s.ws.Close() }
