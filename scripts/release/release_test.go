package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const top = repository("../..")

// The version is in CHANGELOG.md. Other files have to name it, too.
func TestVersionIsTheSameEverywhere(t *testing.T) {
	if err := top.faults(); err != nil {
		t.Errorf("%v\nrun go run ./scripts/release set VERSION", err)
	}
}

func TestSetWritesTheVersionEverywhere(t *testing.T) {
	r := repository(t.TempDir())
	for _, p := range append(places, place{file: "CHANGELOG.md"}) {
		text, err := top.read(p.file)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(string(r), p.file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := r.write(p.file, text); err != nil {
			t.Fatal(err)
		}
	}
	const changelog = "The next version is 0.1.0.\n\n## [0.0.9] - 2026-01-01\n\n- Old.\n"
	if err := r.write("CHANGELOG.md", changelog); err != nil {
		t.Fatal(err)
	}
	if err := r.set("7.8.9"); err != nil {
		t.Fatal(err)
	}
	if got, err := r.version(); got != "7.8.9" || err != nil {
		t.Errorf("version: %q, %v", got, err)
	}
	if err := r.faults(); err != nil {
		t.Error(err)
	}
	for _, file := range []string{"clients/js/package.json", "clients/js/package-lock.json"} {
		before, _ := top.read(file)
		after, _ := r.read(file)
		version, _ := top.version()
		if strings.Count(after, "7.8.9") == 0 || strings.ReplaceAll(after, "7.8.9", version) != before {
			t.Errorf("%s has changed elsewhere, too", file)
		}
	}
	if err := r.set("v8"); err == nil {
		t.Error("v8 is no version, and was taken")
	}
}

func TestOnlyATagThatFitsIsReleased(t *testing.T) {
	const released = "# C\n\n## [Unreleased]\n\n## [0.1.0] - 2026-02-01\n\n### Added\n\n- All.\n\n## [0.0.1]\n\n- Less.\n\n[0.1.0]: https://x\n"
	for _, c := range []struct{ changelog, tag, fault string }{
		{released, "v0.1.0", ""},
		{released, "0.1.0", `the tag is "0.1.0"`},
		{released, "v0.0.1", `the tag is "v0.0.1"`},
		{"The next version is 0.1.0.\n", "v0.1.0", `no heading "## [0.1.0]"`},
		{"nothing", "v0.1.0", "names no version"},
	} {
		r := repository(t.TempDir())
		if err := r.write("CHANGELOG.md", c.changelog); err != nil {
			t.Fatal(err)
		}
		err := r.check(c.tag)
		if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s of %q: %v, want %q", c.tag, c.changelog, err, c.fault)
		}
	}
	r := repository(t.TempDir())
	if err := r.write("CHANGELOG.md", released); err != nil {
		t.Fatal(err)
	}
	if notes, err := r.notes("0.1.0"); notes != "### Added\n\n- All.\n" || err != nil {
		t.Errorf("notes: %q, %v", notes, err)
	}
	if notes, err := r.notes("0.0.1"); notes != "- Less.\n" || err != nil {
		t.Errorf("notes of the last: %q, %v", notes, err)
	}
}

// What make release makes for this platform is whole, and the same each time.
func TestReleaseIsWholeAndReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command: left out with -short; make test runs it")
	}
	if out, err := exec.Command("git", "rev-parse", "HEAD").CombinedOutput(); err != nil {
		t.Skipf("these sources are no clone with a commit: %s", out)
	}
	t.Chdir(string(top))
	dir, again := t.TempDir(), t.TempDir()
	platform := runtime.GOOS + "/" + runtime.GOARCH
	for _, d := range []string{dir, again} {
		if err := build(t.Context(), d, "7.8.9", []string{platform}); err != nil {
			t.Fatal(err)
		}
	}
	name := "fanfare_7.8.9_" + runtime.GOOS + "_" + runtime.GOARCH
	sums := must(t, os.ReadFile, filepath.Join(dir, "SHA256SUMS"))
	if other := must(t, os.ReadFile, filepath.Join(again, "SHA256SUMS")); string(sums) != string(other) {
		t.Errorf("the second time other bytes were made:\n%s\n%s", sums, other)
	}
	command(t, dir, "sha256sum", "--check", "--strict", "SHA256SUMS")
	command(t, dir, "tar", "xzf", name+".tar.gz")
	inside := filepath.Join(dir, name)
	if got := command(t, inside, "./fanfare", "--version"); got != "fanfare v7.8.9\n" {
		t.Errorf("--version: %q", got)
	}
	var list struct {
		Components []component
		Metadata   struct{ Component component }
	}
	if err := json.Unmarshal(must(t, os.ReadFile, filepath.Join(dir, name+".cdx.json")), &list); err != nil {
		t.Fatal(err)
	}
	sum, _, _ := strings.Cut(command(t, inside, "sha256sum", "fanfare"), " ")
	if got := list.Metadata.Component; got.Version != "v7.8.9" || len(got.Hashes) != 1 || got.Hashes[0].Content != sum {
		t.Errorf("the list is of %+v, want v7.8.9 with %s", got, sum)
	}
	listed := make(map[string]string)
	for _, c := range list.Components {
		listed[c.Name] = c.Version
	}
	third := string(must(t, os.ReadFile, filepath.Join(inside, "THIRD-PARTY")))
	modules := 0
	for line := range strings.Lines(command(t, inside, "go", "version", "-m", "fanfare")) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" {
			modules++
			if listed[f[1]] != f[2] {
				t.Errorf("%s %s is in the command; the list has version %q", f[1], f[2], listed[f[1]])
			}
			if !strings.Contains(third, f[1]+" "+f[2]+": ") {
				t.Errorf("the licence of %s is missing", f[1])
			}
		}
	}
	if want := modules + 1; modules == 0 || len(list.Components) != want {
		t.Errorf("%d components are listed, want %d: the modules and the standard library", len(list.Components), want)
	}
}

func must[A, R any](t *testing.T, do func(A) (R, error), argument A) R {
	t.Helper()
	result, err := do(argument)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
