package seam_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const clients = "../../clients/js"

// seamless returns a folder with the modules of the example. In board.mjs, old is replaced by
// other, unless it is empty.
func seamless(t *testing.T, old, other string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	if old == "" {
		return folder
	}
	file := filepath.Join(folder, "board.mjs")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), old); n != 1 {
		t.Fatalf("%q occurs %d times in board.mjs; want 1", old, n)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, other, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// bundle makes one program of a module in testdata, as the tools of a web application do.
func bundle(t *testing.T, name, platform, folder string) (program string) {
	t.Helper()
	js, err := filepath.Abs(clients)
	if err != nil {
		t.Fatal(err)
	}
	esbuild := filepath.Join(js, "node_modules/.bin/esbuild")
	if _, err := exec.LookPath(esbuild); err != nil {
		t.Skip("the packages of clients/js are not installed: run `make tools`")
	}
	program = filepath.Join(t.TempDir(), "program.mjs")
	args := []string{filepath.Join(folder, "testdata", name), "--bundle", "--format=esm", "--target=es2022",
		"--platform=" + platform, "--log-level=warning", "--outfile=" + program,
		"--alias:@fanfare/client=" + filepath.Join(js, "src/index.ts")}
	if platform == "node" { // some packages call require, which modules do not have
		args = append(args, "--alias:ws="+filepath.Join(js, "node_modules/ws"),
			"--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);")
	}
	if out, err := exec.CommandContext(t.Context(), esbuild, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// loadInNode loads the page in Node, count times.
func (w *world) loadInNode(t *testing.T, program string, count int) (all []load) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: run `make tools`")
	}
	cmd := exec.CommandContext(t.Context(), node, program, w.URL, strconv.Itoa(count), "8")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bound := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer bound.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var l load
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Errorf("%s: %v", lines.Bytes(), err)
		}
		all = append(all, l)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program that loads pages: %v", err)
	}
	return all
}

// script serves what was bundled.
func (w *world) script(rw http.ResponseWriter, r *http.Request) {
	file, ok := w.scripts.Load(strings.TrimPrefix(r.URL.Path, "/"))
	if !ok {
		http.NotFound(rw, r)
		return
	}
	rw.Header().Set("Content-Type", "text/javascript")
	http.ServeFile(rw, r, file.(string))
}

// tell takes what the browser tells.
func (w *world) tell(rw http.ResponseWriter, r *http.Request) {
	var l load
	if err := json.NewDecoder(r.Body).Decode(&l); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	w.told <- l
}

func (w *world) await(t *testing.T) (l load) {
	t.Helper()
	select {
	case l = <-w.told:
	case <-time.After(patience):
		t.Fatal("the browser did not tell of its loads")
	}
	return l
}

// startBrowser shows a page until the test ends.
func (w *world) startBrowser(t *testing.T, path, url string) {
	t.Helper()
	profile := t.TempDir()
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad",
		"--user-data-dir="+profile, url)
	cmd.Env = append(os.Environ(), "HOME="+profile)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // its own processes still write their files if it is only killed
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer kill.Stop()
		_ = cmd.Wait() // how it ends does not matter
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
}
