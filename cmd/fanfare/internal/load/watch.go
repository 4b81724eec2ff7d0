package load

import (
	"fmt"
	"sync"
	"time"
)

// A Moment is a part of the timeline.
type Moment struct {
	Seconds       float64 // since measuring began, at its end
	Deliveries    float64 // a second
	P50, P99, Max time.Duration
}

// A watch looks at a run while it goes on: it makes the timeline, and says each
// second how far the run is.
type watch struct {
	run   *run
	stop  chan struct{}
	once  sync.Once
	ended chan struct{}

	mu       sync.Mutex
	what     string   // the phase; guarded by mu
	timeline []Moment // guarded by mu
}

// moments is into how many parts a load is cut for the timeline.
const moments = 60

// newWatch starts to watch. end ends it.
func newWatch(r *run) *watch {
	w := &watch{run: r, what: "connecting", stop: make(chan struct{}), ended: make(chan struct{})}
	go w.look()
	return w
}

// end ends the watch, and returns the timeline. It may be called more than once.
func (w *watch) end() []Moment {
	w.once.Do(func() { close(w.stop) })
	<-w.ended
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.timeline
}

// phase names what the run is doing from now on.
func (w *watch) phase(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.what = name
}

func (w *watch) look() {
	defer close(w.ended)
	every := max(w.run.cfg.Duration/moments, 50*time.Millisecond)
	point, second := time.NewTicker(every), time.NewTicker(time.Second)
	defer point.Stop()
	defer second.Stop()
	var last count
	for {
		select {
		case <-w.stop:
			return
		case <-point.C:
			w.point(every)
		case <-second.C:
			if w.run.cfg.Progress != nil {
				last = w.say(last)
			}
		}
	}
}

// point adds to the timeline what came since the last point.
func (w *watch) point(every time.Duration) {
	r := w.run
	r.mu.Lock()
	h := r.interval
	if h.total > 0 {
		r.interval = histogram{}
	}
	r.mu.Unlock()
	if h.total == 0 {
		return
	}
	at := time.Duration(r.since())
	if from := time.Duration(r.from.Load()); from < at {
		at -= from
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timeline = append(w.timeline, Moment{
		Seconds: at.Seconds(), Deliveries: float64(h.total) / every.Seconds(),
		P50: h.quantile(0.5), P99: h.quantile(0.99), Max: h.most,
	})
}

// A count is what a line of progress is compared with.
type count struct{ onBus, arrived int64 }

// say reports progress since the last time.
func (w *watch) say(last count) count {
	r := w.run
	now := count{r.onBus.Load(), r.arrived.Load()}
	r.mu.Lock()
	p99, closed := r.latency.quantile(0.99), r.closed
	r.mu.Unlock()
	w.mu.Lock()
	what := w.what
	w.mu.Unlock()
	line := fmt.Sprintf("%-10s %6d clients, %8d/s published, %9d/s delivered, p99 so far %v",
		what, r.ready.Load(), now.onBus-last.onBus, now.arrived-last.arrived, round(p99))
	if closed > 0 {
		line += fmt.Sprintf(", %d connections lost", closed)
	}
	r.cfg.Progress(line)
	return now
}

// round leaves three digits or so, for people.
func round(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
