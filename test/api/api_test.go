// Package api compares the exported declarations of the packages that are supported
// API with a listing of each in testdata, so that no change of them is overlooked.
package api_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/importer"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the listings in testdata anew")

const module = "github.com/fanfarebus/fanfare"

// supported are the packages whose exported declarations are supported API, as paths
// below the module. docs/architecture.md names the same packages: change both. All
// other packages may change with any version.
var supported = []string{
	"", // package fanfare: a node
	"/publisher",
	"/subscriber",
	"/client",
	"/domain",
	// For authors of drivers, and for those who have a bus of their own.
	"/adapters/transport",
	"/adapters/transport/dsn",
	"/adapters/watermillbus",
	"/test/conformance",
	// The drivers, as publisher.New takes them.
	"/adapters/jetstream",
	"/adapters/kafka",
	"/adapters/memory",
	"/adapters/natscore",
	"/adapters/redispubsub",
	"/adapters/redisstream",
	// For traces of what a publisher publishes.
	"/adapters/tracing",
	// For the tests of users.
	"/test/cluster",
}

const changed = `the exported API of %s has changed:

%s
Lines with - were taken away or changed: programs that use them no longer compile.
If that is intended, run make api, which is go test ./test/api -update, and name the
change in CHANGELOG.md.`

func TestExportedAPIIsAsListed(t *testing.T) {
	files := exportData(t)
	from := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(files[path])
	})
	for _, path := range supported {
		golden := goldenFile(path)
		t.Run(golden, func(t *testing.T) {
			p, err := from.Import(module + path)
			if err != nil {
				t.Fatal(err)
			}
			l := list(p)
			for _, name := range l.foreign {
				inside := strings.TrimPrefix(name, module)
				if !slices.Contains(supported, inside) {
					t.Errorf("the API uses %s, which is not supported API: see the list in this test", name)
				}
			}
			if *update {
				if err := os.WriteFile(golden, l.text.Bytes(), 0o644); err != nil {
					t.Error(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v\nIf %s is new, run `make api` to list it.", err, module+path)
			}
			if !bytes.Equal(want, l.text.Bytes()) {
				t.Errorf(changed, module+path, changes(string(want), l.text.String()))
			}
		})
	}
}

func TestEachListingBelongsToASupportedPackage(t *testing.T) {
	all, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		if slices.ContainsFunc(supported, func(path string) bool { return goldenFile(path) == file }) {
			continue
		}
		if !*update {
			t.Errorf("%s lists no supported package. If that is intended, run `make api`, and name the change in CHANGELOG.md", file)
		} else if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	}
}

func goldenFile(path string) string {
	name := strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "_")
	if name == "" {
		name = "fanfare"
	}
	return filepath.Join("testdata", name+".txt")
}

// exportData builds the supported packages, and returns the files in which the
// compiler says what they and their imports export.
func exportData(t *testing.T) (files map[string]string) {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}"}
	for _, path := range supported {
		args = append(args, module+path)
	}
	goList := exec.Command("go", args...)
	goList.Stderr = t.Output()
	out, err := goList.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files = make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		files[path] = file
	}
	return files
}

// changes shows the lines that only one of two listings has. A line within a
// declaration is shown behind its first line.
func changes(before, after string) string {
	was, is := declared(before), declared(after)
	var b strings.Builder
	for _, line := range was {
		if !slices.Contains(is, line) {
			fmt.Fprintf(&b, "\t- %s\n", line)
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			fmt.Fprintf(&b, "\t+ %s\n", line)
		}
	}
	if b.Len() == 0 {
		return "\tthe same lines, in another order\n"
	}
	return b.String()
}

func declared(listing string) (lines []string) {
	first := ""
	for line := range strings.Lines(listing) {
		text, inside := strings.CutPrefix(strings.TrimRight(line, "\n"), "\t")
		if inside {
			text = first + " " + text
		} else {
			first = text
		}
		lines = append(lines, text)
	}
	return lines
}
