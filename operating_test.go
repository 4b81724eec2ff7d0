package fanfare_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// The tables of metrics in docs/operating.md are written by hand.
func TestTheOperatorsPageHasEveryMetric(t *testing.T) {
	rows := tableOnPage(t, "### All metrics")
	real := metricsShown(t)
	for _, name := range slices.Sorted(maps.Keys(real)) {
		cells, ok := rows[name]
		switch {
		case !ok:
			t.Errorf("%s is missing on the page", name)
			continue
		case len(cells) != 5:
			t.Errorf("%s: %d cells, want 5", name, len(cells))
			continue
		}
		delete(rows, name)
		if got, want := [2]string{cells[1], strings.ReplaceAll(cells[2], "`", "")}, real[name]; got != want {
			t.Errorf("%s: the page says %q; it is %q", name, got, want)
		}
		if cells[3] == "" || cells[4] == "" {
			t.Errorf("%s: the page does not say what it is, or when to look at it", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		t.Errorf("the page has %s, which is no metric", name)
	}
}

// metricsShown returns the kind and the labels of each metric of a node.
func metricsShown(t *testing.T) map[string][2]string {
	t.Helper()
	node, err := fanfare.New(t.Context(), fanfare.Config{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	kinds := map[metric.Kind]string{metric.Counter: "counter", metric.Gauge: "gauge", metric.Timing: "histogram"}
	shown := map[string][2]string{"fanfare_build_info": {"gauge", "version, node"}}
	for _, m := range fanfare.Describe(node) {
		shown["fanfare_"+m.Name] = [2]string{kinds[m.Kind], m.Label}
	}
	// A scrape leaves out what has counted nothing, but holds what nobody describes.
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/metrics", nil)
	r.RemoteAddr = "127.0.0.1:1"
	node.ServeHTTP(w, r)
	scraped := regexp.MustCompile(`(?m)^# TYPE (fanfare_\w+) `).FindAllStringSubmatch(w.Body.String(), -1)
	if len(scraped) == 0 {
		t.Fatalf("no metric in the answer: %d %s", w.Code, w.Body)
	}
	for _, s := range scraped {
		if _, ok := shown[s[1]]; !ok {
			t.Errorf("a scrape shows %s, which this test does not know", s[1])
		}
	}
	return shown
}

// A scrape shows each text without its neighbours, so none may lean on them.
func TestEveryMetricIsNamedAndExplainedByItself(t *testing.T) {
	node, err := fanfare.New(t.Context(), fanfare.Config{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	leans := regexp.MustCompile(`(?i)\b(these|those of|among them|such a|such sessions|likewise|` +
		`as before|the above)\b`)
	ending := map[metric.Kind]string{metric.Counter: "_total", metric.Timing: "_seconds"}
	for _, m := range fanfare.Describe(node) {
		if !regexp.MustCompile(`^[A-Z1].*\w.*[.]$`).MatchString(m.Help) || len(m.Help) < 20 {
			t.Errorf("%s: %q is no sentence", m.Name, m.Help)
		}
		if found := leans.FindString(m.Help); found != "" {
			t.Errorf("%s: %q needs another text for %q", m.Name, m.Help, found)
		}
		if !strings.HasSuffix(m.Name, ending[m.Kind]) {
			t.Errorf("%s: the name does not end in %s", m.Name, ending[m.Kind])
		}
		if m.Kind == metric.Gauge && strings.HasSuffix(m.Name, "_total") {
			t.Errorf("%s: the name is that of a counter", m.Name)
		}
	}
}

// tableOnPage returns the rows of the tables in one section, by what is in backquotes
// in the first cell.
func tableOnPage(t *testing.T, from string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n"+from+"\n")
	if !found {
		t.Fatalf("the page has no section %q", from)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rows := make(map[string][]string)
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| \n"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		name := strings.Split(cells[0], "`")[1]
		if rows[name] != nil {
			t.Errorf("the page has %s twice", name)
		}
		rows[name] = cells
	}
	return rows
}
