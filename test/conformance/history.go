package conformance

import (
	"fmt"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

// A history is what a subscriber of the batch face was told, in order.
type history struct {
	events []event
	latest map[int]int // the highest number of each publisher
	breaks int
	other  []string // what is no number
}

// An event is a number, or a break.
type event struct {
	number
	gap domain.GapReason // "" for a number
}

func newHistory() *history { return &history{latest: make(map[int]int)} }

// hear writes down what a batch tells.
func (h *history) hear(m *message.Message) {
	batch, _ := domain.EntriesFrom(m.Context())
	for _, e := range batch {
		switch n, ok := parseNumber(e.Body); {
		case e.Kind == domain.Gap:
			h.breaks++
			h.events = append(h.events, event{gap: e.Reason})
		case e.Kind == domain.Record && ok:
			h.events = append(h.events, event{number: n})
			h.latest[n.publisher] = max(h.latest[n.publisher], n.n)
		case e.Kind == domain.Record:
			h.other = append(h.other, string(e.Body))
		}
	}
}

// last is the highest number of a publisher that came.
func (h *history) last(publisher int) int { return h.latest[publisher] }

// check wants of a publisher that its numbers from 1 to last came in order,
// that none is missing unless a break stands in its place, and that none came
// twice, except those that may have been published twice. Where the transport
// promises it, none is missing at all.
func (h *history) check(r *run, publisher, last int, twice func(n int) bool) {
	r.Helper()
	seen, told := 0, false
	for _, e := range h.events {
		switch {
		case e.gap != "":
			told = true
			continue
		case e.publisher != publisher:
			continue
		case e.n <= seen:
			again := twice != nil && twice(e.n) || r.claims.AtLeast && !r.claims.Log
			if !again {
				r.Fatalf("number %d came again after %d: %s", e.n, seen, h)
			}
			continue
		case e.n > seen+1 && !told:
			r.Fatalf("lost silently: number %d is followed by %d, and no break is between: %s", seen, e.n, h)
		case e.n > seen+1 && r.claims.AtLeast && !r.claims.Log:
			r.Fatalf("claims at least once, but number %d is followed by %d: %s", seen, e.n, h)
		}
		seen, told = e.n, false
	}
	if seen < last && !told {
		r.Fatalf("lost silently: the last that came is %d of %d: %s", seen, last, h)
	}
}

// String shows the history, runs of numbers shortened.
func (h *history) String() string {
	var b strings.Builder
	for i := 0; i < len(h.events); i++ {
		e := h.events[i]
		if e.gap != "" {
			fmt.Fprintf(&b, " gap:%s", e.gap)
			continue
		}
		first := e.n
		for i+1 < len(h.events) && h.events[i+1].gap == "" && h.events[i+1].number == (number{e.publisher, e.n + 1}) {
			i++
			e = h.events[i]
		}
		if first == e.n {
			fmt.Fprintf(&b, " %d", first)
		} else {
			fmt.Fprintf(&b, " %d-%d", first, e.n)
		}
	}
	if b.Len() > 2000 {
		return "[ …" + b.String()[b.Len()-2000:] + "]"
	}
	return "[" + b.String() + " ]"
}
