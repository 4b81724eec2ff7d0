package kafka

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// An ackOrder puts the acks of a member into the order of the log: a group's offset may
// pass a record only when everything before it is acked. It is safe for concurrent use.
type ackOrder struct {
	mu      sync.Mutex
	pending []*pendingAck // handed out, in the log's order; guarded by mu
	next    int64         // offset that should come next; 0: what is committed; guarded by mu
}

// A pendingAck is a record whose ack is not committed.
type pendingAck struct {
	record *kgo.Record
	acked  bool // guarded by the ackOrder's mu
}

// add notes a record that is about to be handed out.
func (o *ackOrder) add(r *kgo.Record) *pendingAck {
	p := &pendingAck{record: r}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending = append(o.pending, p)
	return p
}

// passedOver returns how many records before r the group should have got, and that the log
// has no more: it begins at start now. It is called for each record, in order.
func (o *ackOrder) passedOver(
	r *kgo.Record, start int64, committed func() map[string]map[int32]kgo.EpochOffset,
) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := o.next
	o.next = r.Offset + 1
	if next == 0 {
		at, ok := committed()[r.Topic][r.Partition]
		if !ok || at.Offset < 0 {
			return 0 // a new group
		}
		next = at.Offset
	}
	return max(0, min(r.Offset, start)-next)
}

// acked notes an ack, and marks the newest record up to which all are acked. It holds the
// lock while it calls mark, so that marks do not overtake each other.
func (o *ackOrder) acked(p *pendingAck, mark func(...*kgo.Record)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p.acked = true
	var last *kgo.Record
	for len(o.pending) > 0 && o.pending[0].acked {
		last = o.pending[0].record
		o.pending[0] = nil
		o.pending = o.pending[1:]
	}
	if last != nil {
		mark(last)
	}
}

// forget is called when the member has lost its partition: what it has not acked is given
// to another member, and acks that are still to come mean nothing.
func (o *ackOrder) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending, o.next = nil, 0
}
