package kafka

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// An offset passes a record when everything before it is acked, and not before; acks of
// records from before a rebalance mark nothing.
func TestAcksAreCommittedInTheOrderOfTheLog(t *testing.T) {
	var marked []int64
	mark := func(records ...*kgo.Record) { marked = append(marked, records[0].Offset) }
	o := &ackOrder{}
	var pending []*pendingAck
	for offset := range int64(5) {
		pending = append(pending, o.add(&kgo.Record{Offset: offset}))
	}
	for _, i := range []int{1, 3, 0, 4} {
		o.acked(pending[i], mark)
	}
	if !slices.Equal(marked, []int64{1}) {
		t.Errorf("marked %v", marked)
	}
	o.acked(pending[2], mark)
	if !slices.Equal(marked, []int64{1, 4}) {
		t.Errorf("marked %v", marked)
	}
	before := o.add(&kgo.Record{Offset: 5})
	o.forget()
	after := o.add(&kgo.Record{Offset: 5})
	o.acked(before, mark)
	if len(marked) != 2 {
		t.Errorf("an ack from before the rebalance marked %v", marked)
	}
	o.acked(after, mark)
	if !slices.Equal(marked, []int64{1, 4, 5}) {
		t.Errorf("marked %v", marked)
	}
}
