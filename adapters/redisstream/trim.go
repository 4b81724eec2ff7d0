package redisstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
)

var _ transport.ConsumedTrimmer = (*Driver)(nil)

// TrimConsumed drops what all groups have acked, and what is older than the
// retention, to the entry. A group has acked everything before its oldest pending
// entry, or else up to the last one that it was given. What it is given or acks
// while this looks only makes that more; a group that comes meanwhile begins with
// what is left.
func (d *Driver) TrimConsumed(ctx context.Context, topic string) (oldest time.Duration, err error) {
	if oldest, err = d.trimConsumed(ctx, topic); err != nil {
		return 0, fmt.Errorf("redisstream: trim what is consumed of %s: %w", topic, redisconn.Classify(err))
	}
	return oldest, nil
}

func (d *Driver) trimConsumed(ctx context.Context, topic string) (oldest time.Duration, err error) {
	now, err := d.client.Time(ctx).Result()
	if err != nil {
		return 0, err
	}
	begin := id{ms: uint64(max(0, now.Add(-d.retention).UnixMilli()))}
	acked, unknown := d.ackedByAll(ctx, topic, begin) // the retention counts all the same
	if begin.less(acked) {
		begin = acked
	}
	err = d.client.XTrimMinID(ctx, topic, begin.String()).Err()
	if err := errors.Join(unknown, err); err != nil {
		return 0, err
	}
	first, err := d.client.XRangeN(ctx, topic, "-", "+", 1).Result()
	if err != nil || len(first) == 0 {
		return 0, err
	}
	at, err := parseID([]byte(first[0].ID))
	if err != nil {
		return 0, err
	}
	age := now.Sub(time.UnixMilli(int64(at.ms)))
	if age < 0 {
		age = d.retention // a publisher's clock: nobody knows when it came
	}
	return min(max(age, time.Millisecond), d.retention), nil
}

// ackedByAll returns an id that everything before which was acked by all groups,
// or is before begin; zero if nothing was acked, or there are no groups.
func (d *Driver) ackedByAll(ctx context.Context, topic string, begin id) (before id, err error) {
	groups, err := d.client.XInfoGroups(ctx, topic).Result()
	if redis.HasErrorPrefix(err, "no such key") {
		return id{}, nil
	}
	if err != nil {
		return id{}, err
	}
	for i, g := range groups {
		done, err := d.ackedByGroup(ctx, topic, g, begin)
		if err != nil {
			return id{}, err
		}
		if i == 0 || done.less(before) {
			before = done
		}
	}
	return before, nil
}

// ackedByGroup returns the id that everything before which a group has acked, or is
// before begin: what was trimmed without an ack may be pending for ever, and holds
// nothing back.
func (d *Driver) ackedByGroup(ctx context.Context, topic string, g redis.XInfoGroup, begin id) (id, error) {
	if g.Pending > 0 {
		pending, err := d.client.XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: topic, Group: g.Name, Start: begin.String(), End: "+", Count: 1,
		}).Result()
		if err != nil {
			return id{}, err
		}
		if len(pending) > 0 {
			return parseID([]byte(pending[0].ID))
		}
	}
	given, err := parseID([]byte(g.LastDeliveredID))
	if err != nil {
		return id{}, err
	}
	return given.next(), nil
}
