package redisstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Trim removes the entries that are older than the retention by the server's clock.
// It removes whole nodes of the stream's tree only, which is cheap, so some older
// entries stay.
func (d *Driver) Trim(ctx context.Context, topic string) error {
	now, err := d.masters.Time(ctx, topic)
	if err == nil {
		oldest := now.Add(-d.retention).UnixMilli()
		err = d.client.XTrimMinIDApprox(ctx, topic, strconv.FormatInt(oldest, 10), 0).Err()
	}
	if err != nil {
		return fmt.Errorf("redisstream: trim %s: %w", topic, d.classify(topic, err))
	}
	return nil
}

// RetentionAsked reports whether the URL names a retention.
func (d *Driver) RetentionAsked() bool { return d.retentionGiven }

// TrimConsumed removes the entries that all groups have acked, and those that are
// older than the retention. Unlike [Driver.Trim], it removes exactly these. It
// returns the age of the oldest entry that is left.
//
// A group has acked everything before its oldest pending entry or, if none is
// pending, everything up to the last entry that it was given. What groups are given
// or ack while TrimConsumed runs can only make that more. A group that is created
// meanwhile begins with the entries that are left.
func (d *Driver) TrimConsumed(ctx context.Context, topic string) (oldest time.Duration, err error) {
	if oldest, err = d.trimConsumed(ctx, topic); err != nil {
		return 0, fmt.Errorf("redisstream: trim what is consumed of %s: %w", topic, d.classify(topic, err))
	}
	return oldest, nil
}

func (d *Driver) trimConsumed(ctx context.Context, topic string) (oldest time.Duration, err error) {
	now, err := d.masters.Time(ctx, topic)
	if err != nil {
		return 0, err
	}
	keepFrom := id{ms: uint64(max(0, now.Add(-d.retention).UnixMilli()))}
	// If the groups cannot be asked, unacked is zero: then only the retention counts.
	unacked, groupsErr := d.firstUnacked(ctx, topic, keepFrom)
	if keepFrom.less(unacked) {
		keepFrom = unacked
	}
	err = d.client.XTrimMinID(ctx, topic, keepFrom.String()).Err()
	if err := errors.Join(groupsErr, err); err != nil {
		return 0, err
	}
	return d.oldestAge(ctx, topic, now)
}

// oldestAge returns the age of the oldest entry, at most the retention; 0 if there
// is no entry.
func (d *Driver) oldestAge(ctx context.Context, topic string, now time.Time) (time.Duration, error) {
	first, err := d.client.XRangeN(ctx, topic, "-", "+", 1).Result()
	if err != nil || len(first) == 0 {
		return 0, err
	}
	firstID, err := parseID([]byte(first[0].ID))
	if err != nil {
		return 0, err
	}
	age := now.Sub(time.UnixMilli(int64(firstID.ms)))
	if age < 0 {
		// A publisher has chosen this id: it does not say when the entry was added.
		age = d.retention
	}
	return min(max(age, time.Millisecond), d.retention), nil
}

// firstUnacked returns an id before which all groups have acked every entry from
// oldest on. It returns the zero id if there are no groups, or no stream.
func (d *Driver) firstUnacked(ctx context.Context, topic string, oldest id) (first id, err error) {
	groups, err := d.client.XInfoGroups(ctx, topic).Result()
	if redis.HasErrorPrefix(err, "no such key") {
		return id{}, nil
	}
	if err != nil {
		return id{}, err
	}
	for i, group := range groups {
		ofGroup, err := d.firstUnackedBy(ctx, topic, group, oldest)
		if err != nil {
			return id{}, err
		}
		if i == 0 || ofGroup.less(first) {
			first = ofGroup
		}
	}
	return first, nil
}

// firstUnackedBy is firstUnacked for one group. It disregards entries before oldest:
// an entry that was trimmed before the group acked it may stay pending for ever, and
// must not hold anything back.
func (d *Driver) firstUnackedBy(
	ctx context.Context, topic string, group redis.XInfoGroup, oldest id,
) (id, error) {
	if group.Pending > 0 {
		pending, err := d.client.XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: topic, Group: group.Name, Start: oldest.String(), End: "+", Count: 1,
		}).Result()
		if err != nil {
			return id{}, err
		}
		if len(pending) > 0 {
			return parseID([]byte(pending[0].ID))
		}
	}
	lastGiven, err := parseID([]byte(group.LastDeliveredID))
	if err != nil {
		return id{}, err
	}
	return lastGiven.next(), nil
}
