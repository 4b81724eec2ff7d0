package history

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// EntryAt returns the number of the message that is at a cursor, if the window has it. If it
// has not, passed reports that the window's span covers the place all the same: whatever is
// there did not enter the window.
func (h *History) EntryAt(c domain.Cursor, now func() time.Time) (n uint64, found, passed bool) {
	answer := h.Find(c, now)
	if answer.Kind != At || !answer.Resumed {
		return 0, false, false
	}
	n = answer.Next - 1
	if !h.window.has(n) {
		start, known := h.Start().PositionIn(c.Log)
		return 0, false, known && c.Position > start
	}
	e := h.window.at(n)
	p := e.Point()
	at, known := p.PositionIn(c.Log)
	return n, e.IsMessage() && known && at == c.Position, true
}

// LastBefore returns where the window was before entry n, which is in it or the next to come.
// It points into the window, as what [Entry.Point] returns does.
func (h *History) LastBefore(n uint64) domain.Cursor {
	if n > h.window.start && h.window.has(n-1) {
		e := h.window.at(n - 1)
		return e.Point().Cursor
	}
	return h.Start().Cursor
}
