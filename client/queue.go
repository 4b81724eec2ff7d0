package client

import (
	"context"
	"sync"
)

// An event is what the Handler is to be told.
type event struct {
	raw  []byte // nil for what the client itself has to say
	op   op
	lost *Lost

	released string // a late join in this system was answered here
}

// perEvent is what an event takes beside its text, roughly.
const perEvent = 512

// size counts an op twice, for the text and what was read from it.
func (e *event) size() int { return perEvent + 2*len(e.raw) }

// patience is how much longer the queue may be while answers are awaited.
const patience = 8

// A queue holds what the Handler has not been told yet. When it is full, push
// waits: the client stops reading. One goroutine pushes, one pops.
type queue struct {
	limit   int
	waiting func() bool // whether a call waits for its answer

	mu     sync.Mutex
	events []event
	bytes  int
	closed bool
	err    error // why it was closed

	more chan struct{} // something was pushed, or the queue was closed
	less chan struct{} // something was popped, or a call was made
}

func newQueue(limit int, waiting func() bool) *queue {
	return &queue{limit: limit, waiting: waiting, more: make(chan struct{}, 1), less: make(chan struct{}, 1)}
}

// push adds an event when there is room for it; one that is too big for the
// queue has it to itself.
func (q *queue) push(ctx context.Context, e event) error {
	for !q.offer(e) {
		select {
		case <-q.less:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	signal(q.more)
	return nil
}

func (q *queue) offer(e event) bool {
	limit := q.limit
	if q.waiting() {
		limit *= patience
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) > 0 && q.bytes+e.size() > limit {
		return false
	}
	q.events = append(q.events, e)
	q.bytes += e.size()
	return true
}

// pop returns the next event. It reports false once ctx has ended, or the
// queue is closed and empty: then with the reason.
func (q *queue) pop(ctx context.Context) (event, bool, error) {
	for {
		if ctx.Err() != nil {
			return event{}, false, nil
		}
		if e, ok := q.take(); ok {
			signal(q.less)
			return e, true, nil
		}
		if done, err := q.end(); done {
			return event{}, false, err
		}
		select {
		case <-q.more:
		case <-ctx.Done():
		}
	}
}

func (q *queue) take() (event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		return event{}, false
	}
	e := q.events[0]
	q.events[0] = event{}
	q.events = q.events[1:]
	q.bytes -= e.size()
	return e, true
}

func (q *queue) end() (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && len(q.events) == 0, q.err
}

// close says that nothing more comes, and why.
func (q *queue) close(err error) {
	q.mu.Lock()
	q.closed, q.err = true, err
	q.mu.Unlock()
	signal(q.more)
}

// retry lets push look again whether there is room.
func (q *queue) retry() { signal(q.less) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
