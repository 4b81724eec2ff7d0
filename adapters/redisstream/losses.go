package redisstream

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"
)

// lookForLosses notes what was trimmed before the group has read it. A member whose user
// may not ask for this, and one of a server before version 7, notices nothing.
func (m *membership) lookForLosses(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	// In this order: what other members read and trim meanwhile is no loss.
	stream, err := m.client.XInfoStream(ctx, m.topic).Result()
	var groups []redis.XInfoGroup
	if err == nil {
		groups, err = m.client.XInfoGroups(ctx, m.topic).Result()
	}
	if err != nil {
		m.notice("a consumer group cannot notice what is trimmed before it is read", err)
		return
	}
	for i := range groups {
		if groups[i].Name == m.name {
			m.compare(&groups[i], stream)
		}
	}
}

// compare notes what is missing between the last entry that the group was given and the
// first one of the stream. The server counts what the group was given, but not what it
// could not be given any more, so a member that comes after a loss may note it again.
func (m *membership) compare(g *redis.XInfoGroup, stream *redis.XInfoStream) {
	switch {
	case g.EntriesRead == 0: // the server does not know it, or the group is new
	case g.LastDeliveredID == stream.LastGeneratedID:
		m.skipped = stream.EntriesAdded - g.EntriesRead
	case stream.Length == 0 || before(g.LastDeliveredID, stream.FirstEntry.ID):
		trimmed := stream.EntriesAdded - stream.Length
		if lost := trimmed - g.EntriesRead - m.skipped; lost > 0 {
			m.skipped += lost
			m.driver.Note(m.driver.log, m.name, m.topic, uint64(lost))
		}
	}
}

// before compares two ids.
func before(a, b string) bool {
	first, err := parseID([]byte(a))
	second, err2 := parseID([]byte(b))
	return err == nil && err2 == nil && first.less(second)
}

// noteDeleted notes those of the entries that a dead member held which were trimmed
// meanwhile: the server has given others out, and has them pending no more. An entry that
// another member has claimed at the same time is pending.
func (m *membership) noteDeleted(ctx context.Context, ids []string, claimed []redis.XMessage) {
	lost := uint64(0)
	for _, id := range ids {
		if slices.ContainsFunc(claimed, func(e redis.XMessage) bool { return e.ID == id }) {
			continue
		}
		pending, err := m.client.XPendingExt(ctx, &redis.XPendingExtArgs{
			Stream: m.topic, Group: m.name, Start: id, End: id, Count: 1,
		}).Result()
		if err == nil && len(pending) == 0 {
			lost++
		}
	}
	m.driver.Note(m.driver.log, m.name, m.topic, lost)
}
