package redisstream

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
)

// inspect returns a stream's state and whether it holds the entry, at one moment.
func inspect(ctx context.Context, c *redisconn.Conn, topic string, at id) (s streamInfo, present bool, err error) {
	defer c.Bind(ctx)()
	s, err = snapshot(c, topic, []string{"XRANGE", topic, at.String(), at.String(), "COUNT", "1"})
	if err == nil {
		present, err = readExists(c)
	}
	return s, present, err
}

// findSince returns the place right before the first entry of time t or later;
// the tail if there is none.
//
// Where an entry stands before that, it is the place. Else all entries there
// are belong to what is to be read, and as many are gone as were before them:
// that is the place's ordinal. (It is too high where XDEL removed some from the
// middle. But what goes from now on still goes from the front, so state.prove
// compares like with like.) Follow knows no ordinals and cannot find that place
// again; so where nothing was ever removed, the place is the one before all.
func findSince(ctx context.Context, c *redisconn.Conn, topic string, t time.Time) (progress, error) {
	defer c.Bind(ctx)()
	before := id{}
	if ms := t.UnixMilli(); ms > 0 {
		before = id{uint64(ms), 0}.previous()
	}
	s, err := snapshot(c, topic,
		[]string{"XREVRANGE", topic, before.String(), "-", "COUNT", "1"},
		[]string{"XRANGE", topic, before.next().String(), "+", "COUNT", "1"})
	if err != nil {
		return progress{}, err
	}
	older, found, err := readFirst(c)
	if err != nil {
		return progress{}, err
	}
	first, more, err := readFirst(c)
	switch {
	case err != nil:
		return progress{}, err
	case !more:
		return progress{last: s.lastGenerated, ordinal: s.entriesAdded}, nil
	case found:
		return progress{last: older, ordinal: -1}, nil
	case s.entriesAdded == s.length:
		return progress{}, nil
	}
	return progress{last: first.previous(), ordinal: s.entriesAdded - s.length}, nil
}

// snapshot asks for a stream's state and sends more commands with it, all
// answered for one moment. It reads the state; the other answers follow.
func snapshot(c *redisconn.Conn, topic string, commands ...[]string) (streamInfo, error) {
	c.Queue("MULTI")
	c.Queue("XINFO", "STREAM", topic)
	for _, args := range commands {
		c.Queue(args...)
	}
	c.Queue("EXEC")
	if err := c.Flush(); err != nil {
		return streamInfo{}, err
	}
	for range 2 + len(commands) { // OK, and QUEUED for each
		if err := c.Skip(); err != nil {
			return streamInfo{}, err
		}
	}
	if n, err := c.Array(); err != nil || n != 1+len(commands) {
		return streamInfo{}, errors.Join(errReply, err)
	}
	return readInfo(c)
}

// readExists reads the answer to the XRANGE for one entry: is it there?
func readExists(c *redisconn.Conn) (bool, error) {
	_, present, err := readFirst(c)
	return present, err
}

// readFirst reads the answer to an XRANGE of one entry at most: its id.
func readFirst(c *redisconn.Conn) (at id, found bool, err error) {
	n, err := c.Array()
	if err != nil || n < 1 {
		return id{}, false, err
	}
	if pair, err := c.Array(); err != nil || pair != 2 || n != 1 {
		return id{}, false, errors.Join(errReply, err)
	}
	if err := readID(c, &at); err != nil {
		return id{}, false, err
	}
	return at, true, c.Skip()
}

// tail returns the id of the newest entry; the highest that was ever given if
// there is no entry.
func (d *Driver) tail(ctx context.Context, topic string) (id, error) {
	newest, err := d.client.XRevRangeN(ctx, topic, "+", "-", 1).Result()
	if err != nil {
		return id{}, err
	}
	if len(newest) > 0 {
		return parseID([]byte(newest[0].ID))
	}
	info, err := d.client.XInfoStream(ctx, topic).Result()
	switch {
	case redis.HasErrorPrefix(err, "no such key"):
		return id{}, nil
	case err != nil:
		return id{}, err
	}
	return parseID([]byte(info.LastGeneratedID))
}

// previous is the highest id below i, or the zero id.
func (i id) previous() id {
	switch {
	case i.seq > 0:
		return id{i.ms, i.seq - 1}
	case i.ms > 0:
		return id{i.ms - 1, math.MaxUint64}
	}
	return id{}
}

// next is the lowest id above i, which is not the highest of all.
func (i id) next() id {
	if i.seq == math.MaxUint64 {
		return id{i.ms + 1, 0}
	}
	return id{i.ms, i.seq + 1}
}
