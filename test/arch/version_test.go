package arch_test

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"
)

// newest matches where CHANGELOG.md says which version is being made or, once
// that is released, its heading.
var newest = regexp.MustCompile(`(?m)^(?:The next version is |## \[)(\d+\.\d+\.\d+)`)

// ofPython matches the version of the client in Python.
var ofPython = regexp.MustCompile(`(?m)^version = "(.*)"$`)

// The version is the git tag, which no file can know before it is made.
// CHANGELOG.md says what it will be, and the clients say the same.
func TestVersionIsTheSameEverywhere(t *testing.T) {
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	found := newest.FindSubmatch(changelog)
	if found == nil {
		t.Fatal("CHANGELOG.md names no version")
	}
	want := string(found[1])
	project, err := os.ReadFile("../../clients/python/pyproject.toml")
	if err != nil {
		t.Fatal(err)
	}
	if version := ofPython.FindSubmatch(project); version == nil || string(version[1]) != want {
		t.Errorf("clients/python/pyproject.toml has version %q, CHANGELOG.md %s", version, want)
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile("../../clients/js/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Version  string
			Packages map[string]struct{ Version string } // of the lock alone; "" is the client
		}
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if file.Version != want {
			t.Errorf("clients/js/%s has version %s, CHANGELOG.md %s", name, file.Version, want)
		}
		if client, ok := file.Packages[""]; ok && client.Version != want {
			t.Errorf("clients/js/%s has a package of version %s, CHANGELOG.md %s", name, client.Version, want)
		}
	}
}
