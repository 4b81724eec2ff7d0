package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// A Result says what became of a load. Its JSON form is documented in
// docs/operating.md: fields may be added, and none is renamed or gets another
// meaning.
type Result struct {
	Version string   `json:"version,omitempty"` // of the command
	Commit  string   `json:"commit,omitempty"`  // that it was built from, where that is known
	Args    []string `json:"args,omitempty"`    // flags that were set, without secrets
	Started string   `json:"started"`           // RFC 3339
	Machine Machine  `json:"machine"`           // that the clients ran on

	Scenario    Scenario `json:"scenario"`
	Protocol    string   `json:"protocol"`
	Clients     int      `json:"clients"`
	Systems     int      `json:"systems"`
	Publishers  int      `json:"publishers"`
	Interrupted bool     `json:"interrupted"`

	ConnectSeconds float64  `json:"connect_seconds"` // until all clients were greeted
	Connect        Latency  `json:"connect_ms"`      // from dialling to the greeting
	Seconds        float64  `json:"seconds"`         // that were measured
	Due            int      `json:"due"`             // messages that were to be published; 0 if not known before
	Published      int      `json:"published"`       // messages that the bus took
	Retries        int      `json:"retries"`         // requests that failed and were made again
	Delivered      int      `json:"delivered"`       // a message for several clients counts for each
	Rate           float64  `json:"delivered_per_second"`
	PerFrame       float64  `json:"messages_per_frame"`
	Lost           int      `json:"lost"`         // published, and neither delivered nor told as a gap
	Repeated       int      `json:"repeated"`     // delivered again
	Reordered      int      `json:"reordered"`    // delivered after one that was published later
	Misdelivered   int      `json:"misdelivered"` // delivered to a client that it was not for
	Gaps           int      `json:"gaps"`         // that the server told
	InGaps         int      `json:"lost_in_gaps"`
	Closed         int      `json:"closed"`   // connections that the server ended
	Findings       []string `json:"findings"` // the first of these, in words
	Latency        Latency  `json:"latency_ms"`

	Server *Server `json:"server"` // null if the nodes' metrics are not known
	Bench  Bench   `json:"bench"`

	Curve    []Point  `json:"-"` // of the latencies
	Timeline []Moment `json:"-"`

	sessionsBefore int64
}

// A Machine is where the clients ran.
type Machine struct {
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	Cores int    `json:"cores"`
	Go    string `json:"go"`
}

// Latency is percentiles in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Server is what the nodes took, by their metrics, all nodes together. Times are
// microseconds of processor time.
type Server struct {
	Nodes       int     `json:"nodes"`
	PerDelivery float64 `json:"cpu_us_per_delivery"` // 0 if nothing was delivered
	PerMessage  float64 `json:"cpu_us_per_message"`  // for each message that was published
	PerConnect  float64 `json:"cpu_us_per_connect"`  // for each client, while they connected
	PerResume   float64 `json:"cpu_us_per_resume"`   // for each client that came back, missed messages included
	Cores       float64 `json:"cores"`               // that were busy
	RSS         int64   `json:"rss_bytes"`           // resident memory at the end
	RSSBefore   int64   `json:"rss_bytes_before"`    // before the clients connected
	PerSession  float64 `json:"rss_bytes_per_session"`
}

// Bench is what the clients and publishers took.
type Bench struct {
	PerDelivery float64 `json:"cpu_us_per_delivery"`
	Cores       float64 `json:"cores"`
}

func newResult(cfg Config, r *run) *Result {
	res := &Result{
		Started:  r.began.UTC().Format(time.RFC3339),
		Machine:  Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version()},
		Scenario: cfg.Scenario, Protocol: cfg.Protocol, Clients: cfg.Clients, Systems: cfg.Systems,
		Findings: []string{},
	}
	if r.scrape.nodes() > 0 {
		res.Server = &Server{Nodes: r.scrape.nodes()}
	}
	switch {
	case cfg.Scenario == Resume:
		res.Due = cfg.Clients * cfg.Missed
	case cfg.Rate > 0 && cfg.Scenario != Idle:
		res.Due = int(float64(cfg.Rate) * cfg.Duration.Seconds())
	}
	if cfg.Scenario != Idle {
		res.Publishers = r.publishers
	}
	return res
}

// connected notes what it took to connect all clients. r.mu is held.
func (res *Result) connected(r *run, before, after mark) {
	res.ConnectSeconds = after.at.Sub(before.at).Seconds()
	res.Connect = latencyOf(&r.connects)
	res.sessionsBefore = before.nodes.sessions
	if s := res.Server; s != nil {
		s.RSSBefore = before.nodes.RSS
		s.PerConnect = per(after.nodes.CPU-before.nodes.CPU, int64(res.Clients))
		res.rss(after)
	}
}

func (res *Result) rss(now mark) {
	if s := res.Server; s != nil {
		s.RSS = now.nodes.RSS
		s.PerSession = float64(s.RSS-s.RSSBefore) / float64(res.Clients)
	}
}

// load notes what was counted between two marks. The publishers have ended.
func (res *Result) load(r *run, before, after mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	res.Latency, res.Curve = latencyOf(&r.latency), r.latency.curve()
	res.Published, res.Delivered = int(r.counted.Load()), int(r.measured)
	if res.Scenario == Resume {
		res.Published, res.Delivered = int(r.onBus.Load()), int(r.arrived.Load())
	}
	end := r.began.Add(time.Duration(r.lastArrival)) // after that it only waited for what did not come
	if !end.After(before.at) {
		end = after.at
	}
	res.Seconds = end.Sub(before.at).Seconds()
	deliveries := after.arrived - before.arrived
	res.Rate = float64(deliveries) / res.Seconds
	if r.frames > 0 {
		res.PerFrame = float64(r.arrived.Load()) / float64(r.frames)
	}
	own := after.own - before.own
	res.Bench = Bench{PerDelivery: per(own, deliveries), Cores: own.Seconds() / res.Seconds}
	if s := res.Server; s != nil {
		cpu := after.nodes.CPU - before.nodes.CPU
		s.PerDelivery, s.Cores = per(cpu, deliveries), cpu.Seconds()/res.Seconds
		s.PerMessage = per(cpu, after.onBus-before.onBus)
		if res.Scenario == Resume {
			s.PerMessage, s.PerResume = 0, per(cpu, int64(res.Clients))
		}
		res.rss(after)
	}
}

// finish asks the checkers of all clients what they have found.
func (r *run) finish(res *Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all tally
	for i := range r.sessions {
		s := &r.sessions[i]
		published := func(sequence int) uint32 { return r.sent[r.toOf(s, sequence)] }
		all.add(s.checker.finish(published, func(sequence int, h hole) {
			what := fmt.Sprintf("messages %d to %d", h.from, h.to-1)
			if h.to-h.from == 1 {
				what = fmt.Sprintf("message %d", h.from)
			}
			r.fault("client %d: of %s, %s had not come %v after the last was published (--wait)",
				s.index, r.name(r.toOf(s, sequence)), what, r.waited(res))
		}))
	}
	res.Lost, res.Repeated, res.Reordered = all.Lost, all.Repeated, all.Reordered
	res.Gaps, res.InGaps = all.Gaps, all.InGaps
	res.Closed, res.Misdelivered = r.closed, r.misdelivered
	res.Findings = append(res.Findings, r.faults...)
}

// waited is how long it was waited for messages that were on their way.
func (r *run) waited(res *Result) time.Duration {
	if res.Interrupted {
		return min(r.cfg.Wait, interruptedWait)
	}
	return r.cfg.Wait
}

// per is microseconds for each of n; 0 if there are none.
func per(d time.Duration, n int64) float64 {
	if n == 0 {
		return 0
	}
	return float64(d.Microseconds()) / float64(n)
}

func latencyOf(h *histogram) Latency {
	ms := func(q float64) float64 { return float64(h.quantile(q).Microseconds()) / 1000 }
	return Latency{P50: ms(0.5), P90: ms(0.9), P99: ms(0.99), P999: ms(0.999), Max: ms(1)}
}

// Fault says what went wrong: messages that were lost, repeated, out of order or not
// published, connections that the server ended, or that the load was interrupted. It
// returns nil if nothing did. Gaps are no fault: the server has said that something
// is missing.
func (res *Result) Fault() error {
	var faults []error
	if res.Lost+res.Repeated+res.Reordered+res.Misdelivered+res.Closed > 0 {
		text := fmt.Sprintf("%d lost, %d repeated, %d out of order", res.Lost, res.Repeated, res.Reordered)
		if res.Misdelivered > 0 {
			text += fmt.Sprintf(", %d delivered to somebody else", res.Misdelivered)
		}
		if res.Closed > 0 {
			text += fmt.Sprintf(", %d connections closed by the server", res.Closed)
		}
		if len(res.Findings) > 0 {
			text += ": " + res.Findings[0]
		}
		faults = append(faults, errors.New(text))
	}
	switch {
	case res.Interrupted:
		faults = append(faults, errors.New("interrupted: this is what happened until then"))
	case res.Published < res.Due:
		faults = append(faults, fmt.Errorf("only %d of %d messages could be published", res.Published, res.Due))
	}
	return errors.Join(faults...)
}

// JSON writes the result as one line.
func (res *Result) JSON(w io.Writer) error { return json.NewEncoder(w).Encode(res) }

// Text writes the result for people.
func (res *Result) Text(w io.Writer) error {
	t := &table{w: w}
	t.row("clients", "%d, connected in %.2f s (each %s)", res.Clients, res.ConnectSeconds, res.Connect)
	if res.Scenario != Idle {
		of := ""
		if res.Due > 0 {
			of = fmt.Sprintf(" of %d", res.Due)
		}
		t.row("published", "%d%s in %.2f s, %d requests made again", res.Published, of, res.Seconds, res.Retries)
		t.row("delivered", "%d (%.0f a second): %d lost, %d repeated, %d out of order",
			res.Delivered, res.Rate, res.Lost, res.Repeated, res.Reordered)
		what := "from when a message was due"
		if res.Scenario == Resume {
			what = "from dialling to the last missed message"
		}
		t.row("latency", "%s, %s", res.Latency, what)
	}
	if res.Gaps+res.Closed+res.Misdelivered > 0 {
		t.row("also", "%d gaps told, in which %d messages were lost; %d connections closed by the server; "+
			"%d messages delivered to somebody else", res.Gaps, res.InGaps, res.Closed, res.Misdelivered)
	}
	if s := res.Server; s != nil {
		t.row("server", "%s", s.text(res.Scenario))
	} else {
		t.row("server", "its metrics are not known: name them with --metrics")
	}
	if res.Scenario != Idle {
		t.row("bench", "%.2f µs of CPU a delivery", res.Bench.PerDelivery)
	}
	for _, f := range res.Findings {
		t.row("finding", "%s", f)
	}
	return t.err
}

// String shows percentiles for people.
func (l Latency) String() string {
	ms := func(v float64) time.Duration { return round(time.Duration(v * float64(time.Millisecond))) }
	return fmt.Sprintf("p50 %v, p90 %v, p99 %v, p99.9 %v, max %v",
		ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
}

func (s *Server) text(of Scenario) string {
	text := fmt.Sprintf("%.2f µs of CPU a delivery, %.2f a message", s.PerDelivery, s.PerMessage)
	switch of {
	case Idle:
		text = fmt.Sprintf("%.1f KiB a session", s.PerSession/1024)
	case Resume:
		text = fmt.Sprintf("%.0f µs of CPU a resume", s.PerResume)
	}
	return fmt.Sprintf("%s, %.0f a connect; %.1f MiB resident", text, s.PerConnect, float64(s.RSS)/(1<<20))
}

// A table writes rows until one fails.
type table struct {
	w   io.Writer
	err error
}

func (t *table) row(name, format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
}
