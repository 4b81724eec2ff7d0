package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// linked matches the targets of links, those of pictures included.
var linked = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Links between pages lead to files that are there, and to headings that are there.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range append(pages(t), "SECURITY.md", "CHANGELOG.md", "clients/js/README.md") {
		text := read(t, page)
		for _, m := range linked.FindAllStringSubmatch(withoutCode(text), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			to := page
			if target != "" {
				to = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if anchor != "" && strings.HasSuffix(to, ".md") && !anchors(read(t, to))[anchor] {
				t.Errorf("%s links to %s: %s has no such heading", page, m[1], to)
			}
		}
	}
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	got := anchors("# A `b.…` c\n\n```\n# no\n```\n## Two  words, and more (x)\n## `fanfare.v1.json`\n## Same\n## Same\n")
	for _, want := range []string{"a-b-c", "two--words-and-more-x", "fanfarev1json", "same", "same-1"} {
		if !got[want] {
			t.Errorf("no %q in %v", want, got)
		}
	}
	if len(got) != 5 {
		t.Errorf("got %v", got)
	}
}

// anchors returns what links to the headings of a page end in.
func anchors(text string) map[string]bool {
	all := make(map[string]bool)
	for line := range strings.Lines(withoutCode(text)) {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(title))
		for base, n := anchor, 1; all[anchor]; n++ {
			anchor = base + "-" + string(rune('0'+n))
		}
		all[anchor] = true
	}
	return all
}

// withoutCode returns a page without its fenced blocks.
func withoutCode(text string) string {
	var b strings.Builder
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		} else if !fenced {
			b.WriteString(line)
		}
	}
	return b.String()
}

// What sizing.md says was measured is in the tables of performance.md.
func TestFiguresOfSizingAreThoseThatWereMeasured(t *testing.T) {
	measured := read(t, "docs/performance.md")
	rows := regexp.MustCompile(`(?m)^\| [^|]+ \| ([\d.]+) [^|]+ \| ([A-Z0-9][^|]+) \|$`)
	found := rows.FindAllStringSubmatch(read(t, "docs/sizing.md"), -1)
	if len(found) < 10 {
		t.Fatalf("sizing.md has %d figures, want at least 10", len(found))
	}
	for _, row := range found {
		figure, title := row[1], row[2]
		_, table, ok := strings.Cut(measured, "\n### "+title+"\n")
		if !ok {
			t.Errorf("performance.md has no table %q", title)
			continue
		}
		table, _, _ = strings.Cut(table, "\n#")
		if !regexp.MustCompile(`\| ` + regexp.QuoteMeta(figure) + `( \(| \|)`).MatchString(table) {
			t.Errorf("sizing.md says %s; it is not in the table %q of performance.md", figure, title)
		}
	}
}

func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// One word has one meaning: the dictionary has none twice.
func TestTheDictionaryHasEachWordOnce(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "docs/architecture.md"), "## The dictionary\n")
	text, _, _ = strings.Cut(text, "\n## ")
	seen := make(map[string]string)
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \|`).FindAllStringSubmatch(text, -1) {
		for word := range strings.SplitSeq(row[1], ", ") {
			if before, twice := seen[word]; twice {
				t.Errorf("%q is in the rows %q and %q", word, before, row[1])
			}
			seen[word] = row[1]
		}
	}
	if len(seen) < 80 {
		t.Errorf("the dictionary has %d words", len(seen))
	}
}
