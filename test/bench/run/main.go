// Command run measures nodes beside the least that a push server can cost, and writes
// docs/performance.md: `make bench`.
//
// It starts everything that it measures: nodes of bin/fanfare, test/bench/limit, and
// redis-server. The variants of a row are measured one after the other in each round,
// so that what changes on the machine meanwhile changes all of them. The document shows
// medians of the rounds, and the median of the ratios within a round.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options are what the flags say.
type options struct {
	rows   string
	rounds int
	quick  bool
	bin    string // directory with the binaries fanfare and limit
	record string // file with the measurements that the document shows
	doc    string
	render bool
}

// times say how long the loads last.
type times struct{ busy, warmUp, idle time.Duration }

func main() {
	var o options
	flag.StringVar(&o.rows, "rows", "", "rows to measure, with commas; empty: all")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each variant is measured")
	flag.BoolVar(&o.quick, "quick", false, "once, and shortly: print what comes out and write nothing")
	flag.StringVar(&o.bin, "bin", "bin", "directory with the binaries fanfare and limit")
	flag.StringVar(&o.record, "record", "test/bench/record.jsonl", "file with the measurements")
	flag.StringVar(&o.doc, "doc", "docs/performance.md", "document that shows them")
	flag.BoolVar(&o.render, "render", false, "measure nothing: write the document anew")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	t := times{busy: 2 * time.Second, warmUp: 500 * time.Millisecond, idle: 3 * time.Second}
	if o.quick {
		t, o.rounds = times{busy: 700 * time.Millisecond, warmUp: 200 * time.Millisecond, idle: time.Second}, 1
	}
	all := rows(t, mostClients())
	chosen, err := choose(all, o.rows)
	if err != nil {
		return err
	}
	if o.render {
		return write(o, all)
	}
	dir, err := os.MkdirTemp("", "fanfare-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bench := &bench{options: o, dir: dir}
	var failed error
	for _, r := range chosen {
		if ctx.Err() == nil {
			failed = errors.Join(failed, bench.row(ctx, r))
		}
	}
	if o.quick {
		return failed
	}
	return errors.Join(failed, write(o, all))
}

// row measures a row, prints it, and keeps it unless that was quick. If it fails, the
// record has what it had.
func (b *bench) row(ctx context.Context, r row) error {
	lines, err := b.measure(ctx, r)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return err
	}
	fmt.Print(table(r, lines), "\n")
	if b.quick {
		return nil
	}
	return keep(b.record, r.name, lines)
}

// choose returns the rows with the given names.
func choose(all []row, names string) (chosen []row, err error) {
	if names == "" {
		return all, nil
	}
	for _, name := range strings.FieldsFunc(names, func(c rune) bool { return c == ',' || c == ' ' }) {
		i := slices.IndexFunc(all, func(r row) bool { return r.name == name })
		if i < 0 {
			var known []string
			for _, r := range all {
				known = append(known, r.name)
			}
			return nil, fmt.Errorf("there is no row %q: the rows are %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// mostClients is how many connections a process may have here, with some to spare.
func mostClients() int {
	const spare = 500
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1000
	}
	return int(min(limit.Cur, 1<<20)) - spare
}

// write makes the document of the record.
func write(o options, all []row) error {
	lines, err := read(o.record)
	if err != nil {
		return err
	}
	text, err := document(all, lines)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(o.doc), 0o755), os.WriteFile(o.doc, text, 0o644))
}
