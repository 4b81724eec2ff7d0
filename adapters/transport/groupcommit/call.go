package groupcommit

import "time"

// A call is one call of Publish, or a part of it.
type call[T any] struct {
	records  []T // at most maxCommit
	deadline time.Time

	// woken carries one signal: the call leads, or is done. It is nil for a call
	// that leads at once.
	woken chan struct{}

	state   callState // guarded by the Pipeline's mu
	outcome Outcome   // set before state is done; guarded by the Pipeline's mu
}

type callState uint8

const (
	queued  callState = iota
	leading           // appointed to lead; still in the queue
	sent              // its records are with Send
	done
)

// An Outcome is what became of a publish.
type Outcome struct {
	// Accepted is how many records were taken: all of them, or those before the
	// first one that was not.
	Accepted int
	// Refused says that it is certain that none of the rest was taken.
	Refused bool
	// Err is nil if all were taken.
	Err error
}

func refused(err error) Outcome { return Outcome{Refused: true, Err: err} }

// wake never blocks: either there is room, or the signal is there already.
func (c *call[T]) wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}
