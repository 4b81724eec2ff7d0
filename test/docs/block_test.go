package docs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/test/docs"
)

// root is the top of the repository.
const root = "../.."

// pages returns the names of all pages whose blocks are run.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(found) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	all := []string{"README.md", "CONTRIBUTING.md"}
	for _, name := range found {
		all = append(all, "docs/"+filepath.Base(name))
	}
	return all
}

// blocksOf returns the blocks of shell commands of a page.
func blocksOf(t *testing.T, dir, page string) (shell []docs.Block) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, page))
	if err != nil {
		t.Fatal(err)
	}
	all, err := docs.Blocks(page, string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		switch {
		case b.Lang == "sh":
			shell = append(shell, b)
		case b.LooksLikeShell():
			t.Errorf("%s: shell commands stand between ```sh and ```, so that a test runs them:\n%s", b.Name(), b.Text)
		}
	}
	return shell
}

func TestShellBlocksAreMarkedAsSuch(t *testing.T) {
	for _, page := range pages(t) {
		if unrun[page] == "" {
			blocksOf(t, root, page)
		}
	}
}

func TestBlocksAreFound(t *testing.T) {
	text := `# A

Text.

    indented
      more

    of it
## B

<!-- not run: it is *slow* -->

` + "```sh\nsleep 1000\n\n    x\n```" + `

<!-- runs until: listening on -->
` + "```sh\nserve\n```" + `
And
    no code, but a paragraph.

` + "```go\nx\n```\n"
	got, err := docs.Blocks("a.md", text)
	if err != nil {
		t.Fatal(err)
	}
	want := []docs.Block{
		{Page: "a.md", Line: 5, Section: "A", Text: "indented\n  more\n\nof it\n"},
		{Page: "a.md", Line: 13, Section: "B", Lang: "sh", Text: "sleep 1000\n\n    x\n", NotRun: "it is *slow*"},
		{Page: "a.md", Line: 20, Section: "B", Lang: "sh", Text: "serve\n", Until: "listening on"},
		{Page: "a.md", Line: 26, Section: "B", Lang: "go", Text: "x\n"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAMistakenCommentIsRefused(t *testing.T) {
	for _, comment := range []string{"<!-- not ran: x -->", "<!-- not run -->", "<!-- prints: -->"} {
		_, err := docs.Blocks("a.md", comment+"\n```sh\nx\n```\n")
		if err == nil || !strings.HasPrefix(err.Error(), "a.md:2: ") {
			t.Errorf("%s: %v", comment, err)
		}
	}
}

func TestShellIsRecognised(t *testing.T) {
	for text, want := range map[string]bool{
		"fanfare serve":                      true,
		"# first\nFANFARE_URL=x fanfare who": true,
		"$ curl x":                           true,
		"GET /ws":                            false,
		"{\"a\": 1}":                         false,
		"ACL SETUSER node":                   false,
	} {
		if got := (docs.Block{Text: text}).LooksLikeShell(); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
	if (docs.Block{Lang: "yaml", Text: "go test"}).LooksLikeShell() {
		t.Error("YAML is no shell")
	}
}
