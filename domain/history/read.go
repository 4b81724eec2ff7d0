package history

import (
	"sort"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// ID returns the id of the entry's message; "" if the entry is none.
func (e *Entry) ID() string {
	if !e.IsMessage() {
		return ""
	}
	_, r := e.readPoint()
	return r.text()
}

// Targets returns copies of the targets of the entry's message; nil if the entry is
// none.
func (e *Entry) Targets() []domain.Target {
	if !e.IsMessage() {
		return nil
	}
	count, each := e.targets().each()
	all := make([]domain.Target, 0, count)
	for range count {
		name, _ := each.target()
		if t, err := domain.ParseTarget(strings.Clone(name)); err == nil { // it is one
			all = append(all, t)
		}
	}
	return all
}

// Message returns a copy of the entry's message, with its targets; nil if the entry is
// none.
func (e *Entry) Message() *domain.Message {
	if !e.IsMessage() {
		return nil
	}
	var m domain.Message
	e.Read(&m)
	m.To = e.Targets()
	return m.Clone()
}

// NextMessage returns the first message that is entry n or a later one.
func (h *History) NextMessage(n uint64) (k uint64, found bool) {
	for n = max(n, h.window.start); n < h.Next(); n++ {
		if e := h.window.at(n); e.IsMessage() {
			return n, true
		}
	}
	return 0, false
}

// PreviousFor returns the last entry for the target that is before entry n.
func (h *History) PreviousFor(t domain.Target, n uint64) (k uint64, found bool) {
	w, near := &h.window, uint64(0)
	k, after := h.NextFor(t, n, &near)
	switch {
	case near == 0: // nothing is for the target
		return 0, false
	case !after: // near is the last one, and before n
		return near, true
	}
	l, _, _ := w.find(k, t.String())
	if l.previous() == 0 || k-l.previous() < w.start {
		return 0, false
	}
	return k - l.previous(), true
}

// previousMessage returns the last message that is before entry n.
func (h *History) previousMessage(n uint64) (k uint64, found bool) {
	for n = min(n, h.Next()); n > h.window.start; n-- {
		if e := h.window.at(n - 1); e.IsMessage() {
			return n - 1, true
		}
	}
	return 0, false
}

// Floor returns the first entry that can be resumed before: earlier ones belong to
// another log than the present one, or to another life of it.
func (h *History) Floor() uint64 {
	if h.logStartsInWindow() {
		return h.logStart + 1
	}
	return h.window.start
}

// Newest goes back from entry end, which is not counted, and returns the first of the
// `most` newest messages before it that are for one of the targets and not expired, and
// how many there are. Without targets it counts all messages. If there are fewer, first
// is the [History.Floor].
func (h *History) Newest(targets []domain.Target, end uint64, most int, now time.Time) (first uint64, count int) {
	floor := h.Floor()
	ahead := make([]uint64, len(targets)) // the last entry for each target before end; 0 for none
	for i, t := range targets {
		ahead[i], _ = h.PreviousFor(t, end)
	}
	for count < most {
		n := uint64(0)
		if len(targets) == 0 {
			n, _ = h.previousMessage(end)
		}
		for _, k := range ahead {
			n = max(n, k)
		}
		if n < floor {
			return floor, count
		}
		for i, t := range targets {
			if ahead[i] == n {
				ahead[i], _ = h.before(t, n)
			}
		}
		end = n
		if e := h.window.at(n); !e.Expired(now) {
			count, first = count+1, n
		}
	}
	return first, count
}

// before returns the entry before entry n in a target's chain, which n is in.
func (h *History) before(t domain.Target, n uint64) (k uint64, found bool) {
	l, _, ok := h.window.find(n, t.String())
	if !ok || l.previous() == 0 || n-l.previous() < h.window.start {
		return 0, false
	}
	return n - l.previous(), true
}

// Since returns the first entry, from [History.Floor] on, that the log took at the time
// t or later. Clocks may have been set back: then it is one of several.
func (h *History) Since(t time.Time) (n uint64) {
	floor := h.Floor()
	return floor + uint64(sort.Search(int(h.Next()-floor), func(i int) bool {
		e := h.window.at(floor + uint64(i))
		p := e.Point()
		return !p.Time.Before(t)
	}))
}

// Before returns the point that entry n, which is in the window or the next one to come,
// follows. It shares no memory with the window.
func (h *History) Before(n uint64) Point {
	if n > h.First() {
		return h.window.point(n - 1)
	}
	return h.Start().Clone()
}
