package load

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var reportText string

var reportPage = template.Must(template.New("report").Parse(reportText))

// HTML writes the result as a page that needs nothing else.
func (res *Result) HTML(w io.Writer) error {
	page := struct {
		*Result
		Rows           []struct{ Name, Value string }
		Fault          string
		Time, Quantile template.HTML
	}{Result: res, Rows: res.rows(), Time: res.timeChart(), Quantile: res.quantileChart()}
	if err := res.Fault(); err != nil {
		page.Fault = err.Error()
	}
	return reportPage.Execute(w, page)
}

// rows are the lines of the text, as a table.
func (res *Result) rows() (rows []struct{ Name, Value string }) {
	var text strings.Builder
	_ = res.Text(&text) // a Builder takes everything
	for line := range strings.Lines(text.String()) {
		name, value, _ := strings.Cut(line, " ")
		rows = append(rows, struct{ Name, Value string }{name, strings.TrimSpace(value)})
	}
	return rows
}

// A chart is a picture of lines. The page is made for phones, too, so it is as wide
// as a narrow one, and grows with the page.
type chart struct {
	xs     []tick
	series []series
	low    float64 // the latency at the bottom, and at the top; the scale is logarithmic
	high   float64
	width  float64 // of the x axis, in its own unit
	title  string
}

// A tick is a labelled place on the x axis.
type tick struct {
	at    float64
	label string
}

// A series is a line, and the class that gives it a colour.
type series struct {
	name   string
	points []struct{ x, y float64 } // y in seconds
}

// The place of the picture in its frame, in units of which a page has 360.
const (
	left, right, top, bottom = 46, 350, 12, 190
	frameWidth, frameHeight  = 360, 226
)

func (res *Result) timeChart() template.HTML {
	if len(res.Timeline) < 2 {
		return ""
	}
	c := chart{title: "Latency over time", width: res.Timeline[len(res.Timeline)-1].Seconds}
	for _, kind := range []struct {
		name string
		of   func(Moment) time.Duration
	}{
		{"p50", func(m Moment) time.Duration { return m.P50 }},
		{"p99", func(m Moment) time.Duration { return m.P99 }},
		{"max", func(m Moment) time.Duration { return m.Max }},
	} {
		s := series{name: kind.name}
		for _, m := range res.Timeline {
			s.points = append(s.points, struct{ x, y float64 }{m.Seconds, kind.of(m).Seconds()})
		}
		c.series = append(c.series, s)
	}
	step := niceStep(c.width / 5)
	for at := 0.0; at <= c.width; at += step {
		c.xs = append(c.xs, tick{at, fmt.Sprintf("%.3g s", at)})
	}
	return c.draw()
}

// niceStep returns 1, 2 or 5 times a power of ten, at least least.
func niceStep(least float64) float64 {
	unit := math.Pow10(int(math.Floor(math.Log10(least))))
	for _, n := range []float64{1, 2, 5} {
		if n*unit >= least {
			return n * unit
		}
	}
	return 10 * unit
}

func (res *Result) quantileChart() template.HTML {
	if len(res.Curve) < 2 {
		return ""
	}
	// The x axis counts nines: 0 is all, 1 is p90, 2 is p99.
	nines := func(q float64) float64 { return -math.Log10(1 - q) }
	s := series{name: "latency"}
	c := chart{title: "Latency by percentile"}
	for _, p := range res.Curve[:len(res.Curve)-1] { // the last is the maximum: infinitely many nines
		c.width = nines(p.Quantile)
		s.points = append(s.points, struct{ x, y float64 }{c.width, p.Latency.Seconds()})
	}
	c.series = []series{s}
	for _, x := range []tick{{nines(0.5), "p50"}, {1, "p90"}, {2, "p99"}, {3, "p99.9"}, {4, "p99.99"}, {5, "p99.999"}} {
		if x.at <= c.width {
			c.xs = append(c.xs, x)
		}
	}
	return c.draw()
}

// draw returns the picture as SVG.
func (c *chart) draw() template.HTML {
	c.scale()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, frameWidth, frameHeight, c.title)
	for exp := int(math.Round(math.Log10(c.low))); exp <= int(math.Round(math.Log10(c.high))); exp++ {
		y := c.y(math.Pow10(exp))
		fmt.Fprintf(&b, `<path class="grid" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%v</text>`,
			left, y, right, left-6, y+4, time.Duration(math.Pow10(exp+9)))
	}
	for i, x := range c.xs {
		anchor := "middle"
		if i == len(c.xs)-1 && c.x(x.at) > right-20 {
			anchor = "end"
		}
		fmt.Fprintf(&b, `<path class="grid" d="M%.1f %dV%d"/><text x="%.1f" y="%d" text-anchor="%s">%s</text>`,
			c.x(x.at), top, bottom, c.x(x.at), bottom+16, anchor, x.label)
	}
	for i, s := range c.series {
		fmt.Fprintf(&b, `<path class="line s%d" d="`, i)
		for j, p := range s.points {
			fmt.Fprintf(&b, "%c%.1f %.1f", "ML"[min(j, 1)], c.x(p.x), c.y(p.y))
		}
		b.WriteString(`"/>`)
		if len(c.series) > 1 {
			x := left + 70*i
			fmt.Fprintf(&b, `<path class="line s%d" d="M%d %dh18"/><text x="%d" y="%d">%s</text>`,
				i, x, frameHeight-8, x+24, frameHeight-4, s.name)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // it holds numbers and the names above
}

// scale makes the y axis reach from one power of ten to another.
func (c *chart) scale() {
	c.low, c.high = math.Inf(1), 0
	for _, s := range c.series {
		for _, p := range s.points {
			y := max(p.y, 1e-6)
			c.low, c.high = min(c.low, y), max(c.high, y)
		}
	}
	c.low = math.Pow10(int(math.Floor(math.Log10(c.low))))
	c.high = math.Pow10(int(math.Ceil(math.Log10(c.high))))
	if c.high <= c.low {
		c.high = 10 * c.low
	}
}

func (c *chart) x(v float64) float64 { return left + v/max(c.width, 1e-9)*(right-left) }

func (c *chart) y(v float64) float64 {
	share := math.Log10(max(v, c.low)/c.low) / math.Log10(c.high/c.low)
	return bottom - share*(bottom-top)
}
