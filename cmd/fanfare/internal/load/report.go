package load

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// A Report says what became of a load. A message that is for several sessions
// counts once for each in Delivered, Lost, Twice and Disordered.
type Report struct {
	Sessions   int           `json:"sessions"`
	Connect    time.Duration `json:"connect_ns"` // until all were greeted
	Messages   int           `json:"messages"`   // due
	Published  int           `json:"published"`  // of these, on the bus
	Took       time.Duration `json:"took_ns"`    // until the last of these was on the bus
	Retries    int           `json:"retries"`    // requests that failed and were repeated
	Delivered  int           `json:"delivered"`
	Lost       int           `json:"lost"` // published, and not delivered
	Twice      int           `json:"twice"`
	Disordered int           `json:"disordered"` // delivered behind a later one
	Gaps       int           `json:"gaps"`       // told to sessions
	Reconnects int           `json:"reconnects"`
	Latency    Quantiles     `json:"latency_ns"`
}

// Quantiles are latencies, each from when a message was due to when its session
// received it.
type Quantiles struct {
	P50  time.Duration `json:"p50"`
	P90  time.Duration `json:"p90"`
	P99  time.Duration `json:"p99"`
	P999 time.Duration `json:"p999"`
	Max  time.Duration `json:"max"`
}

// Fault says what went wrong: messages that were lost, repeated, out of order or
// not published. It returns nil if nothing did.
func (r Report) Fault() error {
	switch {
	case r.Lost > 0 || r.Twice > 0 || r.Disordered > 0:
		return fmt.Errorf("%d lost, %d twice, %d out of order", r.Lost, r.Twice, r.Disordered)
	case r.Published < r.Messages:
		return fmt.Errorf("only %d of %d messages could be published", r.Published, r.Messages)
	}
	return nil
}

// Text writes the report for people.
func (r Report) Text(w io.Writer) error {
	ms := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	perSecond := float64(r.Published) / max(r.Took.Seconds(), 1e-9)
	l := r.Latency
	_, err := fmt.Fprintf(w, `sessions   %d, connected in %v
published  %d of %d in %v (%.0f a second), %d requests made again
delivered  %d: %d lost, %d twice, %d out of order; %d gaps told, %d reconnects
latency    p50 %v, p90 %v, p99 %v, p99.9 %v, max %v, from when a message was due
`, r.Sessions, ms(r.Connect),
		r.Published, r.Messages, ms(r.Took), perSecond, r.Retries,
		r.Delivered, r.Lost, r.Twice, r.Disordered, r.Gaps, r.Reconnects,
		ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
	return err
}

// JSON writes the report as one line.
func (r Report) JSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

func (r *run) report(p published) Report {
	rep := Report{
		Sessions: r.cfg.Sessions, Messages: r.cfg.messages(),
		Published: p.accepted, Took: p.took, Retries: p.retries,
	}
	for _, l := range r.listeners {
		l.mu.Lock()
		rep.Delivered += l.arrived
		rep.Twice += l.twice
		rep.Disordered += l.disordered
		rep.Gaps += l.gaps
		rep.Reconnects += max(0, l.hellos-1)
		rep.Lost += l.missing(p.accepted)
		l.mu.Unlock()
	}
	rep.Latency = Quantiles{
		P50: r.latency.quantile(0.5), P90: r.latency.quantile(0.9), P99: r.latency.quantile(0.99),
		P999: r.latency.quantile(0.999), Max: time.Duration(r.latency.most.Load()),
	}
	return rep
}
