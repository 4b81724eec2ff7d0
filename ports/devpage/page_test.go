package devpage_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/ports/devpage"
)

func get(t *testing.T, cfg devpage.Config, host string) (html string, header map[string][]string) {
	t.Helper()
	page, err := devpage.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	r.Host = host
	page.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("status %d", w.Code)
	}
	return w.Body.String(), w.Header()
}

func TestThePolicyAllowsThePageAndItsNodeOnly(t *testing.T) {
	html, header := get(t, devpage.Config{Systems: []string{"*"}, Topic: "fanfare.{system}", Transport: "memory://"}, "127.0.0.1:8080")
	policy := strings.Join(header["Content-Security-Policy"], "")
	for _, want := range []string{"default-src 'none'", "connect-src 'self' ws://127.0.0.1:8080;", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q has no %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q is not strict", policy)
	}
	if got := header["Content-Type"]; !slices.Equal(got, []string{"text/html; charset=utf-8"}) {
		t.Errorf("content type %q", got)
	}
	for kind, text := range map[string]string{
		"script-src": inside(t, html, `<script type="module">`, "</script>"),
		"style-src":  inside(t, html, "<style>", "</style>"),
	} {
		sum := sha256.Sum256([]byte(text))
		if want := kind + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(policy, want) {
			t.Errorf("policy %q has not the hash of what stands in the page: %s", policy, want)
		}
	}
}

// inside returns what is between the first begin and the next end, as a browser reads it.
func inside(t *testing.T, html, begin, end string) string {
	t.Helper()
	_, rest, ok := strings.Cut(html, begin)
	text, after, closed := strings.Cut(rest, end)
	if !ok || !closed || strings.Contains(after, begin) {
		t.Fatalf("the page has not one %s", begin)
	}
	return text
}

func TestThePageLoadsNothingAndHasNoInlineHandlers(t *testing.T) {
	html, _ := get(t, devpage.Config{Topic: "fanfare.{system}"}, "localhost")
	markup := strings.Replace(html, inside(t, html, `<script type="module">`, "</script>"), "", 1)
	for _, bad := range []string{`\ssrc=`, `\son\w+=`, `\sstyle=`, `href="(https?:)?//`, `@import`, `url\(`} {
		if found := regexp.MustCompile(bad).FindString(markup); found != "" {
			t.Errorf("the page holds %q", found)
		}
	}
}

func TestAHostThatIsNoNameIsNotPutIntoThePolicy(t *testing.T) {
	for _, host := range []string{"evil; script-src *", "a b", "x,y", "'self'", ""} {
		_, header := get(t, devpage.Config{}, host)
		if policy := header["Content-Security-Policy"][0]; !strings.Contains(policy, "connect-src 'self';") {
			t.Errorf("host %q: policy %q", host, policy)
		}
	}
}

func TestThePageKnowsItsNodeButNoSecrets(t *testing.T) {
	html, _ := get(t, devpage.Config{
		Systems: []string{"shop", "news"}, Topic: `"{system}<`, Transport: "redis-streams://joe:hunter2@cache:6380/1?password=hunter3", Docs: "/docs",
	}, "localhost")
	for _, want := range []string{`data-systems="shop,news"`, `data-topic="&#34;{system}&lt;"`, `data-bus="redis-streams"`, `data-server="cache:6380"`, `href="/docs"`} {
		if !strings.Contains(html, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	for _, secret := range []string{"hunter2", "hunter3", "joe"} {
		if strings.Contains(html, secret) {
			t.Errorf("the page shows %s", secret)
		}
	}
}

// The script is committed, so that a node can be built without npm. It must not be older
// than its sources.
func TestTheScriptIsMadeOfItsSources(t *testing.T) {
	digest := sha256.New()
	for _, dir := range []string{"../../clients/js/src", "src"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.ts"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no sources: %v", dir, err)
		}
		for _, file := range files { // sorted
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			digest.Write([]byte(filepath.Base(file) + "\x00"))
			digest.Write(text)
			digest.Write([]byte{0})
		}
	}
	script, err := os.ReadFile("page.js")
	if err != nil {
		t.Fatal(err)
	}
	if want := "// sources " + hex.EncodeToString(digest.Sum(nil)) + "\n"; !strings.Contains(string(script[:min(len(script), 500)]), want) {
		t.Error("page.js is older than its sources: run 'npm run build' in clients/js")
	}
}

// The digest of the sources does not show that somebody has changed the script by hand.
// Where npm's packages are installed, the script is built again and compared.
func TestTheScriptIsWhatTheBuildMakes(t *testing.T) {
	if _, err := os.Stat("../../clients/js/node_modules/esbuild"); err != nil {
		t.Skip("clients/js has no node_modules: 'npm ci' there, or 'make tools', lets this run")
	}
	build := exec.Command("node", "build.mjs", "--check")
	build.Dir = "../../clients/js"
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
