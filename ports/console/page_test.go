package console_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/ports/console"
)

func get(t *testing.T, node string) (html, policy string) {
	t.Helper()
	page, err := console.New(node)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, httptest.NewRequest("GET", "/console", nil))
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("status %d, %q", w.Code, w.Header().Get("Content-Type"))
	}
	return w.Body.String(), w.Header().Get("Content-Security-Policy")
}

func TestThePolicyAllowsThePageAndItsNodeOnly(t *testing.T) {
	html, policy := get(t, "n1")
	for _, want := range []string{
		"default-src 'none'", "connect-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'",
		"require-trusted-types-for 'script'",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q has no %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("policy %q is not strict", policy)
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
	html, _ := get(t, "n1")
	markup := strings.Replace(html, inside(t, html, `<script type="module">`, "</script>"), "", 1)
	for _, bad := range []string{`\ssrc=`, `\son\w+=`, `\sstyle=`, `href="(https?:)?//`, `@import`, `url\(`} {
		if found := regexp.MustCompile(bad).FindString(markup); found != "" {
			t.Errorf("the page holds %q", found)
		}
	}
}

func TestTheNameOfANodeCannotBecomeMarkup(t *testing.T) {
	html, _ := get(t, `"><script>alert(1)</script>`)
	if strings.Contains(html, "<script>alert") {
		t.Error("the page holds the name as markup")
	}
}

// The script is committed, so that a node can be built without npm. It must not be older
// than its sources.
func TestTheScriptIsMadeOfItsSources(t *testing.T) {
	files, err := filepath.Glob("src/*.ts")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	digest := sha256.New()
	for _, file := range files { // sorted
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		digest.Write([]byte(filepath.Base(file) + "\x00"))
		digest.Write(text)
		digest.Write([]byte{0})
	}
	script, err := os.ReadFile("console.js")
	if err != nil {
		t.Fatal(err)
	}
	if want := "// sources " + hex.EncodeToString(digest.Sum(nil)) + "\n"; !strings.Contains(string(script[:min(len(script), 500)]), want) {
		t.Error("console.js is older than its sources: run 'npm run build' in clients/js")
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
