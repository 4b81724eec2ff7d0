package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
)

//go:embed performance.md.tmpl
var text string

// document makes docs/performance.md of the template and the record.
func document(all []row, lines []line) ([]byte, error) {
	t := template.New("performance").Funcs(template.FuncMap{
		"table": func(name string) (string, error) {
			i := slices.IndexFunc(all, func(r row) bool { return r.name == name })
			if i < 0 {
				return "", fmt.Errorf("there is no row %q", name)
			}
			mine := slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return l.Row != name })
			return table(all[i], mine), nil
		},
		"machine": func() string { return machines(lines) },
	})
	t, err := t.Parse(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, nil)
	return out.Bytes(), err
}

// machines names the machines on which lines were measured.
func machines(lines []line) string {
	var names []string
	for _, l := range lines {
		if !slices.Contains(names, l.Machine) {
			names = append(names, l.Machine)
		}
	}
	if len(names) == 0 {
		return "no machine yet"
	}
	return strings.Join(names, ", and on ")
}

// table is a row's table, with what was measured below it.
func table(r row, lines []line) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", r.title)
	if len(lines) == 0 {
		fmt.Fprintf(&b, "Not measured yet: `make bench ROWS=%s`.\n", r.name)
		return b.String()
	}
	compared := len(lines) > 1
	head, rule := "| |", "|---|"
	for i, f := range r.figures {
		head, rule = head+" "+f.title+" |", rule+"---|"
		if i == 0 && compared {
			head, rule = head+" ratio |", rule+"---|"
		}
	}
	b.WriteString(head + "\n" + rule + "\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "| %s |", l.Label)
		for i, f := range r.figures {
			fmt.Fprintf(&b, " %s |", f.show(l))
			if i == 0 && compared {
				fmt.Fprintf(&b, " %.2f |", l.Ratio)
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n" + origin(r, lines))
	return b.String()
}

// show shows a figure of a line: the median, and how far the rounds were apart.
func (f figure) show(l line) string {
	unit := f.unit
	if unit == 0 {
		unit = 1
	}
	value := fmt.Sprintf(f.form, l.Median[f.field]/unit)
	low, high := fmt.Sprintf(f.form, l.Low[f.field]/unit), fmt.Sprintf(f.form, l.High[f.field]/unit)
	if l.Rounds == 1 || low == high {
		return value
	}
	return fmt.Sprintf("%s (%s–%s)", value, low, high)
}

// origin says how and where the lines were measured.
func origin(r row, lines []line) string {
	last, rounds := lines[len(lines)-1], "rounds"
	if last.Rounds == 1 {
		rounds = "round"
	}
	return fmt.Sprintf("`make bench ROWS=%s`, %d %s, commit %s, %s.\nThe last line is\n\n    %s\n",
		r.name, last.Rounds, rounds, last.Commit, last.Date, last.Command)
}
