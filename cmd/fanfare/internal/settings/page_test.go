package settings_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
)

// The table in docs/operating.md is written by hand.
func TestTheOperatorsPageHasEverySettingWithItsDefault(t *testing.T) {
	page := settingsOnPage(t)
	defaults := defaultsPrinted(t)
	for _, s := range settings.All() {
		row, ok := page[s.Key]
		if !ok {
			t.Errorf("%s is missing on the page", s.Key)
			continue
		}
		delete(page, s.Key)
		if want := defaults[s.Key]; row.fallback != want {
			t.Errorf("%s: the page says that its default is %q; it is %q", s.Key, row.fallback, want)
		}
		if row.file != s.Secret {
			t.Errorf("%s: the page says that a file may hold it: %t; that is %t", s.Key, row.file, s.Secret)
		}
		for _, cell := range row.words {
			if cell == "" {
				t.Errorf("%s: a cell of its row is empty", s.Key)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(page)) {
		t.Errorf("the page has %s, which is no setting", key)
	}
}

// A row is what the page says about a setting.
type row struct {
	fallback string
	file     bool     // the setting KEY_file is named beside it
	words    []string // what it may be, and what it is
}

func settingsOnPage(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n### All settings\n")
	if !found {
		t.Fatal("the page has no section with all settings")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rows := make(map[string]row)
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		if len(cells) != 4 {
			t.Fatalf("want 4 cells: %s", line)
		}
		key, file, hasFile := strings.Cut(cells[0], ", ")
		key = strings.Trim(key, "`")
		if hasFile && file != "`"+key+"_file`" {
			t.Errorf("%s: %s beside it is not the setting for its file", key, file)
		}
		if _, twice := rows[key]; twice {
			t.Errorf("the page has %s twice", key)
		}
		rows[key] = row{fallback: strings.Trim(cells[1], "`"), file: hasFile, words: cells[2:]}
	}
	return rows
}

// defaultsPrinted returns the defaults as `fanfare config print` writes them, without
// quotes and brackets. It returns "none" for what is empty.
func defaultsPrinted(t *testing.T) map[string]string {
	t.Helper()
	printed := load(t, settings.Sources{}).String()
	values := make(map[string]string)
	for line := range strings.Lines(printed) {
		key, rest, _ := strings.Cut(line, ": ")
		value, _, ok := strings.Cut(rest, "# default")
		if !ok {
			t.Fatalf("no default: %s", line)
		}
		value = strings.Trim(value, `[]" `)
		if value == "" {
			value = "none"
		}
		values[key] = value
	}
	return values
}
