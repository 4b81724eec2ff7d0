package history

import (
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
)

// A Kind says which answer an [Answer] is.
type Kind uint8

const (
	// At: the session continues with entry Next, which is in the window or the
	// next one to come. With Resumed, nothing lies between the cursor and that
	// entry. Without it, entry Next is a gap that the session has to cross.
	At Kind = iota + 1
	// Ahead: the cursor is believed to be ahead of this history. The session
	// waits until the entries up to Cursor have come.
	Ahead
	// NeedsBacklog: the cursor is in this log, before the window start. The
	// entries between them have to be read from the log again.
	NeedsBacklog
	// NeedsLookup: the cursor is in another log, and no entry of the window was
	// copied from there. Its position in this log has to be looked up.
	NeedsLookup
	// Gap: continuity cannot be proven. The session is told Reason and Cursor,
	// and continues with entry Next.
	Gap
)

// An Answer says where a cursor is in a [History].
type Answer struct {
	Kind    Kind
	Next    uint64           // At and Gap: number of the first entry for the session
	Cursor  domain.Cursor    // At and Gap: where the session is then; else the cursor that was asked for
	Resumed bool             // At: continuity with the cursor is proven
	Reason  domain.GapReason // Gap
}

// String describes the answer, with numbers of entries that count from the
// first one that the history ever had, which is 1.
func (a Answer) String() string {
	next := int64(a.Next - firstNumber + 1)
	switch a.Kind {
	case At:
		if !a.Resumed {
			return fmt.Sprintf("at entry %d, across a gap", next)
		}
		return fmt.Sprintf("at entry %d", next)
	case Ahead:
		return "ahead"
	case NeedsBacklog:
		return "needs the backlog"
	case NeedsLookup:
		return "needs a lookup"
	case Gap:
		return fmt.Sprintf("gap: %s, then entry %d", a.Reason, next)
	}
	return "no answer"
}
