package redisstream

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/internal/pause"
)

const (
	// ackCount is the most entries that are acked with one command.
	ackCount = 64
	// forgetAfter is how long a member has to be away, without entries, before the
	// others have the server forget it.
	forgetAfter = 10 * time.Minute
	// forgetInterval is how often members that are gone are looked for.
	forgetInterval = 5 * time.Minute
)

// create creates the group, with the stream if need be. A group that exists is no error.
func (m *membership) create(ctx context.Context) (created bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	err = m.client.XGroupCreateMkStream(ctx, m.topic, m.name, "0").Err()
	if redis.HasErrorPrefix(err, "BUSYGROUP") {
		return false, nil
	}
	return err == nil, err
}

// recreated creates the group again if err says that it does not exist, and reports
// whether it exists now.
func (m *membership) recreated(ctx context.Context, err error) bool {
	if !redis.HasErrorPrefix(err, "NOGROUP") {
		return false
	}
	created, err := m.create(ctx)
	switch {
	case err != nil:
		m.warning("the consumer group is gone and cannot be made", err)
		return false
	case created:
		m.log.Warn("the consumer group was gone: it begins anew", "topic", m.topic)
	}
	return true
}

// claim takes over entries that other members hold and do not work on.
func (m *membership) claim(ctx context.Context, count int) ([]redis.XMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	idle, err := m.client.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: m.topic, Group: m.name, Idle: m.claimAfter,
		Start: "-", End: "+", Count: int64(count),
	}).Result()
	if err != nil || len(idle) == 0 {
		return nil, err
	}
	var ids []string
	held := m.holding()
	for i := range idle {
		if !slices.Contains(held, idle[i].ID) {
			ids = append(ids, idle[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	entries, err := m.client.XClaim(ctx, &redis.XClaimArgs{
		Stream: m.topic, Group: m.name, Consumer: m.consumer, MinIdle: m.claimAfter, Messages: ids,
	}).Result()
	if err == nil && len(entries) < len(ids) {
		m.noteDeleted(ctx, ids, entries)
	}
	return entries, err
}

// confirm acks what was acked, until m.acked is closed. While the server refuses, it
// tries again; once ctx has ended, for a short time only.
func (m *membership) confirm(ctx context.Context) {
	for id := range m.acked {
		ids := []string{id}
		for more := true; more && len(ids) < ackCount; {
			select {
			case id, ok := <-m.acked:
				if more = ok; ok {
					ids = append(ids, id)
				}
			default:
				more = false
			}
		}
		if m.ack(ctx, ids) {
			m.letGo(ids)
		}
	}
}

// ack acks entries, and reports whether the server has confirmed that.
func (m *membership) ack(ctx context.Context, ids []string) bool {
	for {
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), groupTimeout)
		err := m.client.XAck(call, m.topic, m.name, ids...).Err()
		cancel()
		if err == nil {
			return true
		}
		m.warning("the consumer group cannot confirm a message; trying again", err)
		if !pause.For(ctx, nackDelay) {
			return false
		}
	}
}

// keep tells the server, until ctx ends, that the member works on what it holds, so that
// no other member takes it over. It also has the server forget members that are gone.
func (m *membership) keep(ctx context.Context) {
	tick := time.NewTicker(m.claimAfter / 3)
	defer tick.Stop()
	forget := time.NewTicker(forgetInterval)
	defer forget.Stop()
	for {
		select {
		case <-tick.C:
			m.setIdle(ctx, m.holding(), 0)
		case <-forget.C:
			m.forgetMembers(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// setIdle has the server count from idle on how long nobody has worked on entries.
func (m *membership) setIdle(ctx context.Context, ids []string, idle time.Duration) {
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	args := []any{"XCLAIM", m.topic, m.name, m.consumer, 0}
	for _, id := range ids {
		args = append(args, id)
	}
	args = append(args, "IDLE", idle.Milliseconds(), "JUSTID")
	if err := m.client.Do(ctx, args...).Err(); err != nil && ctx.Err() == nil {
		m.warning("a consumer group cannot say that it still works", err)
	}
}

// forgetMembers has the server forget members that are gone. They have no entries, so
// nothing is lost.
func (m *membership) forgetMembers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	all, err := m.client.XInfoConsumers(ctx, m.topic, m.name).Result()
	if err != nil {
		m.notice("a consumer group cannot list its members, so those that are gone stay", err)
		return
	}
	for i := range all {
		away := max(forgetAfter, 10*m.claimAfter)
		if all[i].Pending == 0 && all[i].Idle > away && all[i].Name != m.consumer {
			if err := m.client.XGroupDelConsumer(ctx, m.topic, m.name, all[i].Name).Err(); err != nil {
				m.notice("a consumer group cannot forget a member that is gone", err)
			}
		}
	}
}

// leave gives back what is not acked, so that another member gets it when it next looks
// for such entries. These are all that the server has given to the member, also with a reply
// that the member has never seen. A member that has nothing is forgotten, unless its last
// read was cut off: the server might give it entries even now, and would forget them, too.
func (m *membership) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
	defer cancel()
	left, err := m.client.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: m.topic, Group: m.name, Start: "-", End: "+", Consumer: m.consumer,
		Count: int64(m.inFlight + readCount),
	}).Result()
	ids := make([]string, len(left))
	for i := range left {
		ids[i] = left[i].ID
	}
	m.setIdle(ctx, ids, m.claimAfter)
	if err == nil && len(left) == 0 && !m.cut.Load() {
		err = m.client.XGroupDelConsumer(ctx, m.topic, m.name, m.consumer).Err()
	}
	if err != nil {
		m.notice("a member of a consumer group that ends cannot have itself forgotten", err)
	}
}
