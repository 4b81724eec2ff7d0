package kafka

import (
	"context"
	"sync"

	"github.com/fanfarebus/fanfare/domain"
)

// progress is how far this node has read a topic's log.
type progress struct {
	id         [16]byte // of the topic
	recordsEnd int64    // the offset after the last record that was read
	epoch      int32    // of the leader that took this record
	next       int64    // the offsets from recordsEnd up to next hold no record
}

// A progressTable remembers how far each topic was read. With it a later feed can prove
// that the log still is the one that was read, and it is known which of a log's last
// offsets hold no records. It is safe for concurrent use.
type progressTable struct {
	mu      sync.Mutex
	byTopic map[string]progress // guarded by mu
}

// note remembers what was fetched from an offset on.
func (p *progressTable) note(t topic, from int64, got fetched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.byTopic[t.name]
	ok = ok && at.id == t.id
	switch {
	case len(got.records) > 0:
		r := got.records[len(got.records)-1]
		// The epoch counts before the offset: a later leader's log may be shorter.
		if ok && (r.LeaderEpoch < at.epoch || r.LeaderEpoch == at.epoch && r.Offset < at.recordsEnd) {
			return
		}
		at = progress{id: t.id, recordsEnd: r.Offset + 1, epoch: r.LeaderEpoch, next: got.next}
	case ok && from <= at.next && got.next > at.next:
		at.next = got.next
	default:
		return
	}
	if len(p.byTopic) >= maxTopics {
		clear(p.byTopic)
	}
	p.byTopic[t.name] = at
}

func (p *progressTable) get(t topic) (progress, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.byTopic[t.name]
	return at, ok && at.id == t.id
}

// prove returns a gap if the log is not the one that was read up to an offset, because a
// leader without all of its records has taken over and has reused their offsets. The proof
// covers what this node has read; of the rest, only the topic's id is known to be the same.
func (d *Driver) prove(ctx context.Context, t topic, after int64) error {
	at, ok := d.progress.get(t)
	if !ok {
		return nil
	}
	end, err := d.epochEnd(ctx, t, at.epoch)
	switch {
	case err != nil:
		return err
	case end < min(after, at.recordsEnd):
		return gapError(domain.UnknownCursor, "the topic was cut back: "+
			"what was read up to offset %d is there up to %d", at.recordsEnd, end)
	}
	return nil
}
