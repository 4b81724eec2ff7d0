package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A line is what is kept of one variant: a line of the record.
type line struct {
	Row     string             `json:"row"`
	Label   string             `json:"label"`
	Commit  string             `json:"commit"`
	Date    string             `json:"date"`
	Machine string             `json:"machine"`
	Command string             `json:"command"`
	Rounds  int                `json:"rounds"`
	Median  map[string]float64 `json:"median"` // by field
	Low     map[string]float64 `json:"low"`
	High    map[string]float64 `json:"high"`
	// Ratio is that of the first figure to the first figure of the row's first variant;
	// 0 if there is none.
	Ratio float64 `json:"ratio"`
}

// A bench measures rows.
type bench struct {
	options
	dir string
}

// timeOf bounds the measurement of one variant.
const timeOf = 90 * time.Second

// measure measures a row, and returns a line for each variant.
func (b *bench) measure(ctx context.Context, r row) ([]line, error) {
	results := make([][]map[string]any, len(r.variants)) // by variant and round
	for round := range b.rounds {
		for i, v := range r.variants {
			fmt.Fprintf(os.Stderr, "%s, %s: round %d of %d\n", r.name, v.label, round+1, b.rounds)
			got, err := b.once(ctx, v)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", r.name, v.label, err)
			}
			results[i] = append(results[i], got)
		}
	}
	var lines []line
	for i, v := range r.variants {
		l := line{
			Row: r.name, Label: v.label,
			Commit: commit(), Date: time.Now().UTC().Format(time.DateOnly), Machine: machine(),
			Command: strings.Join(append([]string{"fanfare bench"}, v.bench...), " "), Rounds: b.rounds,
			Median: map[string]float64{}, Low: map[string]float64{}, High: map[string]float64{},
		}
		for _, f := range r.figures {
			values := numbers(results[i], f.field)
			l.Median[f.field], l.Low[f.field], l.High[f.field] = median(values), slices.Min(values), slices.Max(values)
		}
		l.Ratio = ratio(numbers(results[i], r.figures[0].field), numbers(results[0], r.figures[0].field))
		lines = append(lines, l)
	}
	return lines, nil
}

// once measures a variant once. It fails if the load did: a figure of a run in which
// messages were lost means nothing.
func (b *bench) once(ctx context.Context, v variant) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, timeOf)
	defer cancel()
	s, err := start(ctx, b.bin, b.dir, v)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if v.fill != nil {
		if _, err := b.load(ctx, s, v, v.fill); err != nil {
			return nil, fmt.Errorf("filling: %w", err)
		}
	}
	got, err := b.load(ctx, s, v, v.bench)
	if err == nil && v.extra {
		err = inMemory(ctx, s, got)
	}
	return got, err
}

// load runs `fanfare bench`.
func (b *bench) load(ctx context.Context, s *setup, v variant, flags []string) (map[string]any, error) {
	all := append([]string{"bench", "--json"}, flags...)
	for i := range s.urls {
		all = append(all, "--url", s.urls[i], "--metrics", s.metrics[i])
	}
	cmd := command(ctx, filepath.Join(b.bin, "fanfare"))
	cmd.Env = os.Environ()
	switch {
	case s.lines != "":
		all = append(all, "--protocol", "plain", "--via", "lines://"+s.lines)
	default:
		cmd.Env = append(cmd.Env, "FANFARE_KEY="+apiKey, "FANFARE_AUTH_JWT_SECRET="+secret)
	}
	if v.viaBus && s.redis != "" {
		all = append(all, "--via", s.redis)
	}
	cmd.Args = append(cmd.Args, all...)
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("fanfare %s: %w: %s%s", strings.Join(all, " "), err, failed.Bytes(), out)
	}
	var got map[string]any
	return got, json.Unmarshal(out, &got)
}

// inMemory adds what is in the memory of the first node after a collection: the
// window as the node counts it, and the live heap.
func inMemory(ctx context.Context, s *setup, got map[string]any) error {
	for range 2 { // the second frees what finalizers held
		if _, err := get(ctx, s.admin[0]+"/debug/pprof/heap?gc=1"); err != nil {
			return err
		}
	}
	text, err := get(ctx, s.metrics[0])
	if err != nil {
		return err
	}
	got["window_bytes"], got["window_entries"] = 0.0, 0.0
	for l := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(l), " ")
		number, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil: // a comment
		case strings.HasPrefix(name, "fanfare_window_bytes"):
			got["window_bytes"] = got["window_bytes"].(float64) + number
		case strings.HasPrefix(name, "fanfare_window_entries"):
			got["window_entries"] = got["window_entries"].(float64) + number
		case name == "go_memstats_heap_alloc_bytes":
			got["heap_bytes"] = number
		}
	}
	return nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// numbers returns a field of each result; one that is not there is 0.
func numbers(results []map[string]any, field string) (all []float64) {
	for _, r := range results {
		var value any = r
		for name := range strings.SplitSeq(field, ".") {
			inner, _ := value.(map[string]any)
			value = inner[name]
		}
		number, _ := value.(float64)
		all = append(all, number)
	}
	return all
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratio is the median of the ratios within a round.
func ratio(values, limits []float64) float64 {
	var all []float64
	for i, v := range values {
		if limits[i] > 0 {
			all = append(all, v/limits[i])
		}
	}
	if len(all) == 0 {
		return 0
	}
	return median(all)
}

// keep puts the lines of a row into the record, in place of those that it had.
func keep(record, name string, lines []line) error {
	all, err := read(record)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(l line) bool { return l.Row == name })
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	for _, l := range append(all, lines...) {
		if err := encoder.Encode(l); err != nil {
			return err
		}
	}
	return os.WriteFile(record, out.Bytes(), 0o644)
}

// read reads the record; there may be none.
func read(record string) (all []line, err error) {
	text, err := os.ReadFile(record)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		var l line
		if err := d.Decode(&l); err != nil {
			return nil, fmt.Errorf("%s: %w", record, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// commit names what is measured, "-dirty" behind it if files have changed since.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine says in words what this machine is.
func machine() string {
	cpu, kilobytes := runtime.GOARCH, 0
	lookUp("/proc/cpuinfo", "model name", func(value string) { cpu = value })
	lookUp("/proc/meminfo", "MemTotal", func(value string) { _, _ = fmt.Sscan(value, &kilobytes) })
	return fmt.Sprintf("%s, %d cores, %d GiB", cpu, runtime.NumCPU(), (kilobytes+1<<19)>>20)
}

// lookUp finds a name in a file of lines such as "name : value".
func lookUp(file, name string, found func(value string)) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == name {
			found(strings.TrimSpace(value))
			return
		}
	}
}
