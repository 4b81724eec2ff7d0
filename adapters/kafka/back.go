package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// Back counts records from the end of the log. It reads them, about fetchBytes at a time,
// since not every offset holds a record: some hold the ends of transactions, and compaction
// leaves holes.
func (d *Driver) Back(
	ctx context.Context, name string, upTo domain.Position, n int,
) (at domain.Position, start bool, err error) {
	end := int64(math.MaxInt64)
	if upTo != "" {
		if end, err = parsePosition(upTo); err != nil {
			return "", false, gapError(domain.UnknownCursor, "%v", err)
		}
	}
	for {
		offset, start, err := d.back(ctx, name, end, n)
		switch {
		case errors.Is(err, errMissing):
			return position(0), true, nil
		case err == nil:
			return position(offset), start, nil
		}
		d.forget(name)
		trimmed := errors.Is(err, kerr.OffsetOutOfRange) // at this very moment
		if !trimmed && !isUnsettled(err) || !pause.For(ctx, settlePause) {
			return "", false, fmt.Errorf("kafka: back in %s: %w", name, classify(err))
		}
	}
}

// back returns the offset of the n-th newest record before end.
func (d *Driver) back(
	ctx context.Context, name string, end int64, n int,
) (offset int64, start bool, err error) {
	t, err := d.peek(ctx, name)
	if err != nil {
		return 0, false, err
	}
	first, err := d.offset(ctx, t, earliestOffset)
	if err != nil {
		return 0, false, err
	}
	last, err := d.offset(ctx, t, latestOffset)
	if err != nil {
		return 0, false, err
	}
	f := d.sharedFetcher(t)
	// The stretch before end that may hold n records is doubled until it does.
	for end, span := min(end, last), int64(n); end > first; span *= 2 {
		begin := max(end-span, first)
		offsets, err := f.offsets(ctx, begin, end)
		if err != nil {
			return 0, false, err
		}
		if len(offsets) >= n {
			return offsets[len(offsets)-n], false, nil
		}
		n -= len(offsets)
		end = begin
	}
	return first, true, nil
}

// offsets returns the offsets of the records from begin on, before end.
func (f *fetcher) offsets(ctx context.Context, begin, end int64) (all []int64, err error) {
	for next := begin; next < end; {
		got, err := f.fetch(ctx, next, 0)
		if err != nil {
			return nil, err
		}
		for _, r := range got.records {
			if r.Offset < end {
				all = append(all, r.Offset)
			}
		}
		if got.next <= next {
			break
		}
		next = got.next
	}
	return all, nil
}
