package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var someTimes = times{busy: time.Second, warmUp: time.Second, idle: time.Second}

// The document is made: who changes it by hand changes the template, or measures.
func TestTheDocumentIsWhatTheTemplateAndTheRecordMake(t *testing.T) {
	lines, err := read("../record.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	want, err := document(rows(someTimes, 20_000), lines)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/performance.md")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/performance.md is not what it should be (%v): run go run ./test/bench/run -render", err)
	}
}

func TestEveryRowIsInTheDocumentOnce(t *testing.T) {
	for _, r := range rows(someTimes, 20_000) {
		if n := strings.Count(text, fmt.Sprintf("{{table %q}}", r.name)); n != 1 {
			t.Errorf("row %s is %d times in the template", r.name, n)
		}
		labels := map[string]bool{}
		for _, v := range r.variants {
			if labels[v.label] {
				t.Errorf("row %s has two variants %q", r.name, v.label)
			}
			labels[v.label] = true
		}
	}
	if all := rows(someTimes, 300); fmt.Sprint(all[len(all)-6].variants[3].bench[3]) != "300" {
		t.Errorf("with 300 descriptors it still wants %v", all[len(all)-6].variants[3].bench)
	}
}

func TestRowsAreChosenByName(t *testing.T) {
	all := rows(someTimes, 20_000)
	chosen, err := choose(all, "idle, fan-out")
	if err != nil || len(chosen) != 2 || chosen[0].name != "idle" || chosen[1].name != "fan-out" {
		t.Errorf("%d, %v", len(chosen), err)
	}
	if chosen, err := choose(all, ""); err != nil || len(chosen) != len(all) {
		t.Errorf("%d, %v", len(chosen), err)
	}
	if _, err := choose(all, "fanout"); err == nil || !strings.Contains(err.Error(), `no row "fanout": the rows are fan-out, `) {
		t.Error(err)
	}
}

func TestMediansAndRatios(t *testing.T) {
	results := []map[string]any{
		{"server": map[string]any{"us": 3.0}}, {"server": map[string]any{"us": 1.0}}, {"server": nil},
	}
	if got := numbers(results, "server.us"); fmt.Sprint(got) != "[3 1 0]" || median(got) != 1 {
		t.Error(got)
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Error(got)
	}
	if got := ratio([]float64{10, 30, 5}, []float64{5, 10, 0}); got != 2.5 {
		t.Errorf("%v: the round without a limit does not count", got)
	}
}

func TestTheRecordKeepsOtherRows(t *testing.T) {
	record := filepath.Join(t.TempDir(), "record")
	for _, l := range []line{{Row: "a", Label: "1"}, {Row: "b", Label: "2"}, {Row: "a", Label: "3"}} {
		if err := keep(record, l.Row, []line{l}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := read(record)
	if err != nil || len(got) != 2 || got[0].Label != "2" || got[1].Label != "3" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestATableShowsMediansRangesAndRatios(t *testing.T) {
	r := row{"idle", "Sessions", []figure{perSession, perConnect}, nil}
	lines := []line{
		{Label: "limit", Rounds: 3, Ratio: 1, Median: map[string]float64{perSession.field: 2048, perConnect.field: 80},
			Low: map[string]float64{perSession.field: 1024, perConnect.field: 80}, High: map[string]float64{perSession.field: 4096, perConnect.field: 80}},
		{Label: "v1", Rounds: 1, Ratio: 1.5, Commit: "c0ffee", Date: "2026-01-01", Command: "fanfare bench --x",
			Median: map[string]float64{perSession.field: 3072}},
	}
	want := `### Sessions

| | RSS, KiB a session | ratio | server, µs a connect |
|---|---|---|---|
| limit | 2.0 (1.0–4.0) | 1.00 | 80 |
| v1 | 3.0 | 1.50 | 0 |

`
	got := table(r, lines)
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "c0ffee") || !strings.Contains(got, "    fanfare bench --x\n") {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := table(r, nil); !strings.Contains(got, "Not measured yet: `make bench ROWS=idle`") {
		t.Error(got)
	}
}
