package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenGoesOnWhereItWasWhenItIsStartedAgain(t *testing.T) {
	n := node(t, nil, "dev")
	url := n.url()
	file := filepath.Join(t.TempDir(), "alice.json")
	if err := os.WriteFile(file, []byte(`{"elsewhere":"kept"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	publish := func(from, to int) {
		t.Helper()
		var lines strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&lines, `{"to":"user:alice","data":%d}`+"\n", i)
		}
		if got := fanfareWith(t, lines.String(), nil, "publish", "--url", url, "--system", "orders", "-"); got.code != 0 {
			t.Fatalf("publish: %+v", got)
		}
	}
	listen := []string{"listen", "--url", url, "--user", "alice", "--systems", "orders", "--resume", file}

	// The first time it begins with what is published next. It saves that cursor when
	// it is interrupted.
	first := start(t, nil, listen...)
	first.line(`"op":"hello"`)
	first.signal(os.Interrupt)
	if first.exit() != 0 {
		t.Fatalf("listen ended with %d: %s", first.code, first.output())
	}
	var cursors map[string]string
	text, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(text, &cursors) != nil || cursors["orders"] == "" || cursors["elsewhere"] != "kept" {
		t.Fatalf("the file holds %s, %v", text, err)
	}

	publish(0, 5)
	for _, from := range []int{0, 2} { // after two messages it ends, and goes on with the third
		got := fanfareRun(t, append(listen, "--plain-data", "--count", "2")...)
		if want := fmt.Sprintf("%d\n%d\n", from, from+1); got.code != 0 || got.out != want {
			t.Errorf("got %+v; want %q", got, want)
		}
	}
	// After it was killed it may print a message again, but misses none.
	killed := start(t, nil, listen...)
	killed.line(`"data":4`)
	killed.signal(os.Kill)
	killed.exit()
	publish(5, 6)
	again := start(t, nil, append(listen, "--plain-data")...)
	again.line("5")
	if got := again.output(); got != "5" && got != "4\n5" {
		t.Errorf("after a crash it printed %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestListenEndsWhenItsCursorsCanNoLongerBeKept(t *testing.T) {
	n := node(t, nil, "dev")
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	alice := start(t, nil, "listen", "--url", n.url(), "--user", "alice", "--systems", "orders", "--resume", filepath.Join(dir, "alice.json"))
	alice.line("{") // an op: it has made the file
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if got := fanfareRun(t, "publish", "--url", n.url(), "--system", "orders", "--to", "user:alice", "--data", "1"); got.code != 0 {
		t.Fatalf("publish: %+v", got)
	}
	if alice.exit() != 1 || !strings.Contains(alice.output(), "fanfare: --resume: ") {
		t.Errorf("exit code %d: %s", alice.code, alice.output())
	}
}

func TestTheDirectoryThatCursorsLackIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	file := filepath.Join(dir, "alice.json")
	got := fanfareRun(t, "listen", "--systems", "orders", "--url", "http://127.0.0.1:1", "--resume", file)
	want := fmt.Sprintf("fanfare: --resume: %s cannot be made: there is no directory %s\n", file, dir)
	if got.code != 2 || got.err != want {
		t.Errorf("got %+v; want %q", got, want)
	}
}

// /proc is a directory in which nobody can make a file.
func TestNoDirectoryIsMissedThatIsThere(t *testing.T) {
	got := fanfareRun(t, "listen", "--systems", "orders", "--url", "http://127.0.0.1:1", "--resume", "/proc/alice.json")
	if got.code != 2 || !strings.HasPrefix(got.err, "fanfare: --resume: /proc/alice.json cannot be written: ") {
		t.Errorf("got %+v", got)
	}
}

func TestFileOfCursorsThatCannotBeUsedIsOneClearLine(t *testing.T) {
	for name, path := range map[string]string{
		"a directory": t.TempDir(), "in no directory": "/does/not/exist/alice.json",
		"no JSON": write(t, "x"), "another JSON": write(t, "[]"), "nothing": write(t, "null"),
	} {
		got := fanfareRun(t, "listen", "--systems", "orders", "--url", "http://127.0.0.1:1", "--resume", path)
		if got.code != 2 || !strings.HasPrefix(got.err, "fanfare: --resume: ") || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
