package conformance

import (
	"fmt"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

// A history is what a subscription to batches has brought, in order.
type history struct {
	events []event
	latest map[int]int // by publisher: its highest number
	gaps   int
	other  []string // bodies that are no numbers
}

// An event is a number or a gap.
type event struct {
	number
	gap domain.GapReason // "" for a number
}

func newHistory() *history { return &history{latest: make(map[int]int)} }

// record adds the entries of a batch.
func (h *history) record(m *message.Message) {
	batch, _ := domain.EntriesFrom(m.Context())
	for _, e := range batch {
		switch n, ok := parseNumber(e.Body); {
		case e.Kind == domain.Gap:
			h.gaps++
			h.events = append(h.events, event{gap: e.Reason})
		case e.Kind == domain.Record && ok:
			h.events = append(h.events, event{number: n})
			h.latest[n.publisher] = max(h.latest[n.publisher], n.n)
		case e.Kind == domain.Record:
			h.other = append(h.other, string(e.Body))
		}
	}
}

// last returns the highest number of a publisher so far.
func (h *history) last(publisher int) int { return h.latest[publisher] }

// check checks that a publisher's numbers from 1 to last have come in order. If
// one is missing there must be a gap in its place. None may have come twice,
// unless twice says that it may have been published twice. A transport that
// claims at-least-once delivery without a log may repeat numbers, but may not
// miss any.
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
			r.Fatalf("lost silently: number %d is followed by %d, and no gap is between: %s", seen, e.n, h)
		case e.n > seen+1 && r.claims.AtLeast && !r.claims.Log:
			r.Fatalf("claims at least once, but number %d is followed by %d: %s", seen, e.n, h)
		}
		seen, told = e.n, false
	}
	if seen < last && !told {
		r.Fatalf("lost silently: the last that came is %d of %d: %s", seen, last, h)
	}
}

// String formats the history, with consecutive numbers as ranges.
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
