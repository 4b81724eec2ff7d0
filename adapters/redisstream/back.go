package redisstream

import (
	"context"
	"fmt"
	"math"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/domain"
)

// firstBack is how many entries Back reads before it knows their size.
const firstBack = 16

// Back counts entries from the end of the stream. The server can list entries only with
// their values, so Back reads them, about batchBytes at a time, and keeps none.
func (d *Driver) Back(
	ctx context.Context, topic string, upTo domain.Position, n int,
) (at domain.Position, start bool, err error) {
	newest := id{math.MaxUint64, math.MaxUint64}
	if upTo != "" {
		if newest, err = parsePosition(upTo); err != nil {
			return "", false, gapError(domain.UnknownCursor, "%v", err)
		}
	}
	before, start, err := d.back(ctx, topic, newest, n)
	if err != nil {
		return "", false, fmt.Errorf("redisstream: back in %s: %w", topic, d.classify(topic, err))
	}
	return before.position(), start, nil
}

// back returns the id of the entry before the n-th newest one at or before newest.
func (d *Driver) back(ctx context.Context, topic string, newest id, n int) (at id, start bool, err error) {
	left := n + 1 // the last of these is the entry before the n-th newest
	for count := min(firstBack, left); ; {
		entries, err := d.client.XRevRangeN(ctx, topic, newest.String(), "-", int64(count)).Result()
		if err != nil {
			return id{}, false, err
		}
		left -= len(entries)
		if len(entries) < count { // these are the oldest ones
			at, err = d.beforeAll(ctx, topic)
			return at, left > 1, err
		}
		oldest, err := parseID([]byte(entries[count-1].ID))
		if err != nil || left == 0 {
			return oldest, false, err
		}
		newest = oldest.previous()
		count = min(nextCount(count, sizeOf(entries)), left)
	}
}

// sizeOf returns how many bytes the fields of entries have.
func sizeOf(entries []redis.XMessage) (size int) {
	for i := range entries {
		for name, value := range entries[i].Values {
			text, _ := value.(string)
			size += len(name) + len(text)
		}
	}
	return size
}

// beforeAll returns the id before that of the oldest entry. Follow can begin there, as it
// can only at the zero id or right before an entry. Without entries beforeAll returns the
// id of the last entry that there was.
func (d *Driver) beforeAll(ctx context.Context, topic string) (id, error) {
	info, err := d.client.XInfoStream(ctx, topic).Result()
	switch {
	case redis.HasErrorPrefix(err, "no such key"):
		return id{}, nil
	case err != nil:
		return id{}, err
	case info.Length == 0:
		return parseID([]byte(info.LastGeneratedID))
	case info.EntriesAdded == info.Length:
		return id{}, nil
	}
	first, err := parseID([]byte(info.FirstEntry.ID))
	return first.previous(), err
}
