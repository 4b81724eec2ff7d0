package client

import (
	"context"
	"sync"
)

// An event is one of three: an op of the node, a lost connection, or the end of a hold
// on the cursors of a system.
type event struct {
	raw []byte // the text of op
	op  op

	on       *session // that brought op; nil if nothing is to be acknowledged
	repeated bool     // op is one that the Handler has been called for, by another session

	lost *Lost // nil: no connection was lost

	released string // the system whose late join was answered here; empty: none was
}

// perEvent is about how many bytes an event takes beside its text.
const perEvent = 512

// size returns about how many bytes an event takes: the text, as much again for what
// was decoded from it, and perEvent.
func (e *event) size() int { return perEvent + 2*len(e.raw) }

// answerFactor is how many times as long the queue may be while a call waits for its
// answer, since the answer comes behind what is in the queue.
const answerFactor = 8

// A queue holds the events that the Handler has not been called for yet. When it is
// full, push waits, and so the client stops reading. One goroutine pushes and one pops.
type queue struct {
	limit   int         // in bytes
	waiting func() bool // says whether a call waits for its answer

	mu     sync.Mutex // guards the fields below
	events []event
	bytes  int // the size of all events
	closed bool
	err    error // why the queue was closed

	more chan struct{} // holds a token when an event was pushed or the queue was closed
	less chan struct{} // holds a token when an event was popped or a call was made
}

func newQueue(limit int, waiting func() bool) *queue {
	return &queue{
		limit: limit, waiting: waiting,
		more: make(chan struct{}, 1), less: make(chan struct{}, 1),
	}
}

// push adds an event once it fits. An event that is larger than the queue is added when
// the queue is empty.
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
		limit *= answerFactor
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

// pop returns the next event. It returns false if ctx has ended, and if the queue is
// closed and empty: then with the error it was closed with.
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

// close lets pop return false, with err, when it has returned all events.
func (q *queue) close(err error) {
	q.mu.Lock()
	q.closed, q.err = true, err
	q.mu.Unlock()
	signal(q.more)
}

// retry lets push try again: a call was made, so that the limit is another.
func (q *queue) retry() { signal(q.less) }

// signal puts a token into a channel that holds one at most.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
