package kafka

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/fanfarebus/fanfare/domain"
)

// A progress is how far a topic's log was read.
type progress struct {
	id         [16]byte // of the topic
	recordsEnd int64    // behind the last record read
	epoch      int32    // of the leader that took that record
	next       int64    // from last up to here there is no record
}

// progressTable remembers how far each topic was read. From that it can be proven
// later that the log still is what was read, and it is known which of its last
// offsets are no records. It is safe for concurrent use.
type progressTable struct {
	mu      sync.Mutex
	byTopic map[string]progress
}

// note notes what was fetched from an offset on.
func (p *progressTable) note(t topic, from int64, got fetched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.byTopic[t.name]
	ok = ok && at.id == t.id
	switch {
	case len(got.records) > 0:
		r := got.records[len(got.records)-1]
		// What a later leader took counts: its log may be shorter.
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

// prove proves that a log from which somebody read up to an offset still is the
// log that was read: that no leader came to power who did not have all of it
// and took something else in its place. What this node has not read up to that
// offset is not proven; then the cursor's id is all there is.
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
		return gapError(domain.UnknownCursor, "the topic was cut back: what was read up to offset %d is there up to %d", at.recordsEnd, end)
	}
	return nil
}

// tail returns the place behind the last record of a log. Where the log was read
// before, and there is more by now, that is taken to end with a record: who
// follows it will soon know better.
func (d *Driver) tail(ctx context.Context, t topic) (int64, error) {
	end, err := d.offset(ctx, t, latestOffset)
	if err != nil {
		return 0, err
	}
	at, ok := d.progress.get(t)
	switch {
	case ok && at.next == end:
		return at.recordsEnd, nil
	case ok:
		return end, nil
	}
	return d.searchTail(ctx, t, end)
}

// noteTail looks for the last record, for a tail that is asked for next.
func (d *Driver) noteTail(ctx context.Context, t topic) error {
	end, err := d.offset(ctx, t, latestOffset)
	if err == nil {
		_, err = d.searchTail(ctx, t, end)
	}
	return err
}

// maxSearch is how many offsets before a log's end are looked at to find its
// last record.
const maxSearch = 1024

// searchTail finds the place behind the last record before end. Mostly it ends
// there; but the last offsets may be marks that end transactions, or records of
// transactions that were taken back. If all that it looks at are, it is the
// log's beginning: so nobody waits for a record that is none.
func (d *Driver) searchTail(ctx context.Context, t topic, end int64) (int64, error) {
	first, err := d.offset(ctx, t, earliestOffset)
	if err != nil || first >= end {
		return end, err
	}
	in := d.fetcher(t)
	for back := int64(1); back <= maxSearch; back *= 2 {
		from := max(end-back, first)
		last := int64(-1)
		for next := from; next < end; {
			got, err := in.fetch(ctx, next, 0)
			if errors.Is(err, kerr.OffsetOutOfRange) {
				return end, nil // trimmed this very moment
			}
			if err != nil {
				return 0, err
			}
			d.progress.note(t, next, got)
			if n := len(got.records); n > 0 {
				last = got.records[n-1].Offset + 1
			}
			if got.next <= next {
				break
			}
			next = got.next
		}
		if last >= 0 {
			return last, nil
		}
		if from == first {
			break
		}
	}
	return first, nil
}
