package arch_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The bounds that keep the text readable beside a diff, and the domain readable
// in one sitting.
const (
	goColumns    = 120 // of a line of Go; a tab counts as four
	proseColumns = 110 // of a line of Markdown outside of tables, code and URLs
	fileLines    = 300 // of a file in domain
	funcLines    = 45  // of a function in domain, from func to its brace
	streamFields = 12  // of stream.Stream
)

func TestLinesOfGoAreShort(t *testing.T)    { check(t, ".go", longGoLines) }
func TestLinesOfProseAreShort(t *testing.T) { check(t, ".md", longProseLines) }
func TestDomainIsSmall(t *testing.T)        { check(t, ".go", largeInDomain) }

// check reports the faults that find names in the files of the repository whose
// names end in ext. Each begins with file:line.
func check(t *testing.T, ext string, find func(name string, text []byte) (faults []string)) {
	t.Helper()
	root := os.DirFS("../..")
	files := 0
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains([]string{".git", ".cache", "bin", "node_modules"}, entry.Name()) {
				return fs.SkipDir // not what the repository holds
			}
			return nil
		}
		if filepath.Ext(name) != ext {
			return nil
		}
		files++
		text, err := fs.ReadFile(root, name)
		for _, fault := range find(name, text) {
			t.Error(fault)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files ending in %s: %v", files, ext, err)
	}
}

// longGoLines finds lines that are too long. Tests are free, and so is what was
// generated.
func longGoLines(name string, text []byte) (faults []string) {
	if strings.HasSuffix(name, "_test.go") || bytes.HasPrefix(text, []byte("// Code generated ")) {
		return nil
	}
	for i, line := range strings.Split(string(text), "\n") {
		if n := columns(line); n > goColumns {
			faults = append(faults, fmt.Sprintf("%s:%d: %d columns: at most %d", name, i+1, n, goColumns))
		}
	}
	return faults
}

// url matches the target of a link and a bare URL: neither can be broken.
var url = regexp.MustCompile(`\]\([^)]*\)|https?://\S+`)

// longProseLines finds lines that are too long. Tables, code and URLs may run
// on: nothing can be broken there.
func longProseLines(name string, text []byte) (faults []string) {
	fenced := false
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		code := fenced || strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t")
		if table := strings.HasPrefix(line, "|"); code || table {
			continue
		}
		if n := columns(url.ReplaceAllString(line, "")); n > proseColumns {
			faults = append(faults, fmt.Sprintf("%s:%d: %d columns: at most %d", name, i+1, n, proseColumns))
		}
	}
	return faults
}

func columns(line string) int {
	return utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
}

// largeInDomain finds files of the domain that are too long, those of its tests
// included, functions that are, and a Stream with too many fields. A test may be
// one long table.
func largeInDomain(name string, text []byte) (faults []string) {
	if !strings.HasPrefix(name, "domain/") {
		return nil
	}
	if n := bytes.Count(text, []byte("\n")); n > fileLines {
		faults = append(faults, fmt.Sprintf("%s:1: %d lines: at most %d in a file of the domain", name, n, fileLines))
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		return append(faults, err.Error())
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			first, last := set.Position(d.Pos()).Line, set.Position(d.End()).Line
			if n := last - first + 1; n > funcLines && !strings.HasSuffix(name, "_test.go") {
				faults = append(faults, fmt.Sprintf("%s:%d: %s has %d lines: at most %d in a function of the domain",
					name, first, d.Name.Name, n, funcLines))
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if n := fieldsOfStream(name, s); n > streamFields {
					faults = append(faults, fmt.Sprintf("%s:%d: Stream has %d fields: at most %d",
						name, set.Position(s.Pos()).Line, n, streamFields))
				}
			}
		}
	}
	return faults
}

// fieldsOfStream counts the fields of stream.Stream, and none of other types.
func fieldsOfStream(name string, spec ast.Spec) (n int) {
	typ, ok := spec.(*ast.TypeSpec)
	if !ok || typ.Name.Name != "Stream" || filepath.Dir(name) != "domain/stream" {
		return 0
	}
	fields, ok := typ.Type.(*ast.StructType)
	if !ok {
		return 0
	}
	for _, f := range fields.Fields.List {
		n += max(1, len(f.Names)) // an embedded field has no name
	}
	return n
}

// The checks above find what they are for, and nothing else.
func TestFaultsAreFound(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	function := func(lines int) string { return "package p\n\nfunc f() {" + strings.Repeat("\n", lines-1) + "}\n" }
	stream := func(fields int) string {
		return "package stream\n\ntype Stream struct {\n\ta, b int\n\tT\n" + strings.Repeat("\tc int\n", fields-3) + "}\n"
	}
	for _, c := range []struct {
		what  string
		find  func(string, []byte) []string
		name  string
		text  string
		fault string // what the one fault begins with; empty if there is none
	}{
		{"Go", longGoLines, "a/b.go", "\n// " + long(117), ""},
		{"long Go", longGoLines, "a/b.go", "\n// " + long(118), "a/b.go:2: 121 columns"},
		{"Go with tabs", longGoLines, "a/b.go", "\t\t" + long(113), "a/b.go:1: 121 columns"},
		{"Go with runes of several bytes", longGoLines, "a/b.go", strings.Repeat("ü", 120), ""},
		{"long tests", longGoLines, "a/b_test.go", long(200), ""},
		{"generated", longGoLines, "wire_gen.go", "// Code generated by Wire. DO NOT EDIT.\n" + long(200), ""},
		{"prose", longProseLines, "README.md", long(110), ""},
		{"long prose", longProseLines, "README.md", "\n\n" + long(111), "README.md:3: 111 columns"},
		{"prose behind code", longProseLines, "a.md", "```\n" + long(200) + "\n```\n" + long(111), "a.md:4: 111 columns"},
		{"indented code", longProseLines, "a.md", "    " + long(200), ""},
		{"a table", longProseLines, "a.md", "| " + long(200), ""},
		{"a list", longProseLines, "a.md", "- " + long(109), "a.md:1: 111 columns"},
		{"a link", longProseLines, "a.md", long(100) + " [a](" + long(80) + ")", ""},
		{"long prose with a link", longProseLines, "a.md", long(110) + " [a](b)", "a.md:1: 113 columns"},
		{"a URL", longProseLines, "a.md", long(100) + " https://" + long(80), ""},
		{"a file", largeInDomain, "domain/a.go", "package p\n" + strings.Repeat("\n", 299), ""},
		{"a long file", largeInDomain, "domain/a.go", "package p\n" + strings.Repeat("\n", 300), "domain/a.go:1: 301 lines"},
		{"a long file elsewhere", largeInDomain, "ports/a.go", "package p\n" + strings.Repeat("\n", 300), ""},
		{"a function", largeInDomain, "domain/a.go", function(45), ""},
		{"a long function", largeInDomain, "domain/a.go", function(46), "domain/a.go:3: f has 46 lines"},
		{"Stream", largeInDomain, "domain/stream/a.go", stream(12), ""},
		{"a large Stream", largeInDomain, "domain/stream/a.go", stream(13), "domain/stream/a.go:3: Stream has 13 fields"},
		{"a long file of tests", largeInDomain, "domain/a_test.go", "package p\n" + strings.Repeat("\n", 300), "domain/a_test.go:1: 301 lines"},
		{"a long test", largeInDomain, "domain/a_test.go", function(46), ""},
		{"another Stream", largeInDomain, "domain/a.go", stream(13), ""},
	} {
		got := strings.Join(c.find(c.name, []byte(c.text)), "\n")
		if strings.Contains(got, "\n") || !strings.HasPrefix(got, c.fault) || c.fault == "" && got != "" {
			t.Errorf("%s: found %q, want %q", c.what, got, c.fault)
		}
	}
}
