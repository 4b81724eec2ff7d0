package control

// A queueLevel says in which queue a fact stands.
type queueLevel uint8

const (
	notQueued queueLevel = iota
	inBulk               // it is published when there is space: a refresh or an answer
	inUrgent             // it is published next: somebody waits for it
)

// A queue holds the facts that have to be published. A fact that is taken back, or that
// moves to another queue, stays in the list and is passed over.
type queue struct{ list []*fact }

// push makes that a fact is published, at a level or the one that it has if that is
// more urgent.
func (t *facts) push(f *fact, level queueLevel) {
	if f.queued >= level || f.gone {
		return
	}
	f.queued = level
	q := t.queue(level)
	if len(q.list) > 2*len(t.all)+64 {
		q.compact(level)
	}
	q.list = append(q.list, f)
}

func (t *facts) queue(level queueLevel) *queue {
	if level == inUrgent {
		return &t.urgent
	}
	return &t.bulk
}

// next returns the fact that is published next, and nil if there is none.
func (t *facts) next() *fact {
	if f := t.urgent.first(inUrgent); f != nil {
		return f
	}
	return t.bulk.first(inBulk)
}

// pop takes the fact that next has returned off its queue.
func (t *facts) pop(f *fact) {
	q := t.queue(f.queued)
	f.queued = notQueued
	q.list[0] = nil
	q.list = q.list[1:]
}

// heard takes back that a fact has to be published, since another node has done so.
func (f *fact) heard() {
	if f.queued == inBulk {
		f.queued = notQueued
	}
}

// first returns the first fact that is still to be published.
func (q *queue) first(level queueLevel) *fact {
	for len(q.list) > 0 {
		if f := q.list[0]; f.queued == level && !f.gone {
			return f
		}
		q.list[0] = nil
		q.list = q.list[1:]
	}
	q.list = nil
	return nil
}

// compact drops what is not to be published any more, and what is there twice.
func (q *queue) compact(level queueLevel) {
	kept := q.list[:0:0]
	seen := make(map[*fact]bool)
	for _, f := range q.list {
		if f.queued == level && !f.gone && !seen[f] {
			seen[f] = true
			kept = append(kept, f)
		}
	}
	q.list = kept
}
