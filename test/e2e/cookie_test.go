package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// For a page of plain http, under a name other than localhost, browsers send
// neither Origin nor Sec-Fetch-Site with an EventSource. Its cookie must work all
// the same. The same cookie must not work for a page of a sibling host, although
// the browser sends it with that page's requests.
func TestCookiesOfPagesOverPlainHTTP(t *testing.T) {
	browser := "/usr/bin/chromium"
	if other := os.Getenv("CHROMIUM"); other != "" {
		browser = other
	}
	if _, err := exec.LookPath(browser); err != nil {
		t.Skipf("%s is not installed: run `make tools`, or name another in CHROMIUM", browser)
	}
	c := newCluster(t, 1, "memory://", nil)
	node, err := url.Parse("http://" + c.front)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	told := make(map[string]string) // by way of connecting
	var foreign []string            // what the other page's requests were like; guarded by mu
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(node)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(resp *http.Response) error {
			if r := resp.Request; strings.HasPrefix(r.Referer(), "http://evil.") {
				mu.Lock()
				defer mu.Unlock()
				foreign = append(foreign, fmt.Sprintf("%d, cookie %t, origin %q, site %q", resp.StatusCode,
					r.Header.Get("Cookie") != "", r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")))
			}
			return nil
		},
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	mux.Handle("GET /ws", proxy)
	mux.Handle("GET /sse", proxy)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if strings.HasPrefix(r.Host, "evil.") {
			fmt.Fprintf(w, `<img src="http://bus.test:%s/sse?systems=orders">`, port)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "fanfare_token", Value: c.token("alice", "orders"), Path: "/", Domain: "bus.test", HttpOnly: true})
		fmt.Fprintf(w, `<iframe src="http://evil.bus.test:%s/"></iframe><script>
			const report = (way, text) => fetch("/report?way=" + way, { method: "POST", body: text });
			const source = new EventSource("/sse?systems=orders");
			source.onmessage = e => report("sse", e.data);
			source.onerror = () => report("sse", "an error");
			const socket = new WebSocket("ws://" + location.host + "/ws?systems=orders", "fanfare.v1.json");
			socket.onmessage = e => report("ws", e.data);
			socket.onerror = () => report("ws", "an error");
		</script>`, port)
	})
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a part is as good as nothing
		mu.Lock()
		defer mu.Unlock()
		if way := r.URL.Query().Get("way"); told[way] == "" {
			told[way] = string(body)
		}
	})
	profile := t.TempDir()
	cmd := exec.Command(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad",
		"--disable-features=HttpsUpgrades", "--host-resolver-rules=MAP *.test 127.0.0.1",
		"--user-data-dir="+profile, "http://bus.test:"+port+"/")
	cmd.Env = append(os.Environ(), "HOME="+profile)
	chromium := start(t, "chromium", cmd)
	defer func() {
		if chromium.running() {
			chromium.terminate()
			chromium.exit(20 * time.Second)
		}
	}()
	eventually(t, 60*time.Second, "all requests are answered", func() error {
		mu.Lock()
		defer mu.Unlock()
		if told["sse"] == "" || told["ws"] == "" || len(foreign) == 0 {
			return fmt.Errorf("told %q; the other page: %q", told, foreign)
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	for _, way := range []string{"sse", "ws"} {
		if !strings.Contains(told[way], `"op":"hello"`) || !strings.Contains(told[way], `"user":"alice"`) {
			t.Errorf("%s: %s", way, told[way])
		}
	}
	for _, f := range foreign {
		if !strings.HasPrefix(f, "403, cookie true, ") {
			t.Errorf("a page of another host: %s", f)
		}
	}
	t.Log(foreign)
}
