package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// tail returns the offset after the last record of a log. If this node has read the log
// before and there is more by now, tail assumes that the last offset holds a record, as
// mostly it does; the feed that follows the log will soon find out.
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

// noteTail looks for the last record, so that a call of tail that follows knows it.
func (d *Driver) noteTail(ctx context.Context, t topic) error {
	end, err := d.offset(ctx, t, latestOffset)
	if err == nil {
		_, err = d.searchTail(ctx, t, end)
	}
	return err
}

// maxSearch is how many offsets before a log's end are searched for its last record.
const maxSearch = 1024

// searchTail returns the offset after the last record before end. Mostly that is end
// itself, but the last offsets may be markers that end transactions, or records of aborted
// transactions. If it finds no record, it returns the log's first offset, so that nobody
// waits for a record at an offset that has none.
func (d *Driver) searchTail(ctx context.Context, t topic, end int64) (int64, error) {
	first, err := d.offset(ctx, t, earliestOffset)
	if err != nil || first >= end {
		return end, err
	}
	f := d.sharedFetcher(t)
	for back := int64(1); back <= maxSearch; back *= 2 {
		from := max(end-back, first)
		recordsEnd, err := d.lastRecord(ctx, f, from, end)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			return end, nil // the log was trimmed this very moment
		}
		if err != nil {
			return 0, err
		}
		if recordsEnd >= 0 {
			return recordsEnd, nil
		}
		if from == first {
			break
		}
	}
	return first, nil
}

// lastRecord returns the offset after the last record between two offsets; -1 if there is
// no record.
func (d *Driver) lastRecord(ctx context.Context, f *fetcher, from, end int64) (int64, error) {
	recordsEnd := int64(-1)
	for next := from; next < end; {
		got, err := f.fetch(ctx, next, 0)
		if err != nil {
			return 0, err
		}
		d.progress.note(f.topic, next, got)
		if n := len(got.records); n > 0 {
			recordsEnd = got.records[n-1].Offset + 1
		}
		if got.next <= next {
			break
		}
		next = got.next
	}
	return recordsEnd, nil
}
